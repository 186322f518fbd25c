"""The engine's own logits processors: a request gets them by its fields, not by their names."""

from collections.abc import Iterator

from paddock.engine.sampling.allowed_tokens import AllowedTokens
from paddock.engine.sampling.bad_words import BadWords
from paddock.engine.sampling.params import SamplingParams

_BY_PATH = {f"{kind.__module__}.{kind.__qualname__}": kind for kind in (AllowedTokens, BadWords)}


def processors_for(sampling: SamplingParams) -> Iterator[str]:
    """Paths of the processors that a request needs: those its fields ask for, then those it names."""
    yield from (path for path, kind in _BY_PATH.items() if kind.serves(sampling))
    yield from sampling.logits_processors
