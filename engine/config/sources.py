"""Every source of arguments (command line, file, environment), laid over each other into one configuration."""

import logging
from collections.abc import Callable, Mapping, Sequence
from itertools import takewhile

from paddock.engine.config.build import build
from paddock.engine.config.catalogue import Entry, by_flag
from paddock.engine.config.command_line import is_flag, read_command_line, split_flag
from paddock.engine.config.config_file import read_yaml
from paddock.engine.config.environment import announces, read_environment
from paddock.engine.config.layer import Layer, Sourced, merge
from paddock.engine.config.problems import ArgumentError
from paddock.engine.config.serve import ServeConfig
from paddock.engine.config.vocabulary import SGLANG, vocabulary

logger = logging.getLogger(__name__)


def parse_serve(
    argv: Sequence[str], environ: Mapping[str, str], warn: Callable[[str], None] = logger.warning
) -> ServeConfig:
    """Read the arguments after `serve`; the first one that is no flag names the model.

    Precedence: command line, then `--config` file, then environment, then default. `warn` is called for each
    argument with a successor. Raises ArgumentError with every problem found.
    """
    return read_sources(argv, environ, warn).config


def read_sources(
    argv: Sequence[str], environ: Mapping[str, str], warn: Callable[[str], None] = logger.warning
) -> Sourced:
    """Read a configuration as `parse_serve` does, and keep where each value came from."""
    merged = gather(argv, environ)
    built = build(merged.values, merged.origins)
    for warning in merged.warnings if announces(environ) else ():
        warn(warning)
    if built.config is None or merged.problems:
        raise ArgumentError([*merged.problems, *built.problems])
    return Sourced(built.config, merged.sources)


def gather(argv: Sequence[str], environ: Mapping[str, str]) -> Layer:
    """Read every source into raw values of our own arguments, the strongest winning; nothing is validated."""
    path = early_value(argv, by_flag()["--config"])
    file = read_yaml(path) if path else None
    backend = early_value(argv, by_flag()["--backend"]) or (file.backend if file else "") or "vllm"
    words = vocabulary(backend)
    layers = [file.layer(words)] if file else []
    given = merge([*layers, read_command_line(argv, words)])
    if backend == SGLANG:
        given = _translated(given)
    return merge([*_dialect_defaults(backend), read_environment(environ), given])


def early_value(argv: Sequence[str], entry: Entry) -> str | None:
    """Find what must be known before all else can be read: the dialect and the file. The last one counts."""
    names, found = (entry.flag, *entry.argument.aliases), None
    words = list(takewhile(lambda word: word != "--", argv))
    for word, following in zip(words, [*words[1:], ""], strict=False):
        name, inline, _ = split_flag(word)
        if is_flag(word) and name in names:
            value = following if inline is None else inline
            found = None if inline is None and is_flag(value) else value
    return found


def _translated(given: Layer) -> Layer:
    from paddock.engine.config.sglang.layer import translated

    return translated(given)


def _dialect_defaults(backend: str) -> list[Layer]:
    if backend != SGLANG:
        return []
    from paddock.engine.config.sglang.layer import dialect_defaults

    return [dialect_defaults()]
