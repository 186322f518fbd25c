"""Which architectures the pooling runner serves: what their body is, and what stands on it. Torch-free."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from paddock.engine.models.encoder_families import ENCODER_FAMILIES
from paddock.engine.models.family import Family
from paddock.engine.models.registry import NATIVE_FAMILIES

Head = Literal["none", "score", "tokens", "bert", "roberta", "distilbert"]
"""score is one matrix on a decoder's last token, tokens are rows of its output head; the others are of encoders."""

ENCODER_PREFIXES: dict[str, tuple[str, Head]] = {
    "Bert": ("bert.", "bert"),
    "DistilBert": ("distilbert.", "distilbert"),
    "Roberta": ("roberta.", "roberta"),
    "XLMRoberta": ("roberta.", "roberta"),
}
BASE_NAMES = {"Gemma3ForCausalLM": "Gemma3Text"}
"""Where transformers does not name the base model after the causal one."""

UNREAD = ("lm_head.", "cls.", "pooler.", "score.", "classifier.", "vocab_", "embeddings.position_ids")
"""Beginnings of names, behind the body's prefix, of what checkpoints hold and a pooling model may have no use for."""

CAUSAL_ENDINGS = ("ForCausalLM", "LMHeadModel")


@dataclass(frozen=True)
class PoolingArchitecture:
    """A class of a checkpoint's config.json, taken apart."""

    body: str
    """Name of the family that runs: a causal one, whose head is left out, or an encoder."""

    head: Head
    base_prefix: str
    """Of the body's tensors; checkpoints of the body alone leave it out."""

    generates: bool = False
    """A causal language model, which pools only when it is told to."""

    @property
    def causal(self) -> bool:
        return self.body in NATIVE_FAMILIES

    @property
    def family(self) -> Family:
        return NATIVE_FAMILIES[self.body] if self.causal else ENCODER_FAMILIES[self.body]


def pooling_architecture(name: str) -> PoolingArchitecture | None:
    """None for a class that the pooling runner does not know."""
    return _KNOWN.get(name)


def unread(names: Iterable[str], prefix: str) -> set[str]:
    """Those of a checkpoint's tensors that may be left alone."""
    return {name for name in names if name.removeprefix(prefix).startswith(UNREAD)}


def pooling_architectures() -> list[str]:
    return sorted(_KNOWN)


def _known() -> dict[str, PoolingArchitecture]:
    found: dict[str, PoolingArchitecture] = {}
    for name, family in NATIVE_FAMILIES.items():
        stem = name
        for ending in CAUSAL_ENDINGS:
            stem = stem.removesuffix(ending)
        stem = BASE_NAMES.get(name, stem)
        prefix = family.base_prefix or "model."
        found[name] = PoolingArchitecture(name, "none", prefix, generates=True)
        found[f"{stem}Model"] = PoolingArchitecture(name, "none", prefix)
        found[f"{stem}ForSequenceClassification"] = PoolingArchitecture(name, "score", prefix)
    for stem, (prefix, head) in ENCODER_PREFIXES.items():
        body = f"{stem}Model"
        found[body] = found[f"{stem}ForMaskedLM"] = PoolingArchitecture(body, "none", prefix)
        found[f"{stem}ForSequenceClassification"] = PoolingArchitecture(body, head, prefix)
    return found


_KNOWN = _known()
