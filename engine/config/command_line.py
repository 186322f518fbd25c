"""`paddock serve MODEL --flags`: from words to a configuration."""

import copy
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import takewhile
from typing import Any

from paddock.engine.config.build import build
from paddock.engine.config.catalogue import Entry, by_flag, nearest
from paddock.engine.config.config_file import read_yaml
from paddock.engine.config.environment import announces, read_environment
from paddock.engine.config.kinds import Kind, describe
from paddock.engine.config.layer import Layer, Sourced, merge
from paddock.engine.config.problems import ArgumentError, Problem, shown
from paddock.engine.config.removed import Removed
from paddock.engine.config.serve import ServeConfig
from paddock.engine.config.vocabulary import SGLANG, Vocabulary, vocabulary
from paddock.engine.config.words import from_dotted, from_text, from_words

logger = logging.getLogger(__name__)

_NUMBER = re.compile(r"-[0-9.]+([eE][+-]?[0-9]+)?")
_LEVEL = re.compile(r"-O[0-9]+")


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
        name, inline, _ = _split(word)
        if _is_flag(word) and name in names:
            value = following if inline is None else inline
            found = None if inline is None and _is_flag(value) else value
    return found


def _translated(given: Layer) -> Layer:
    from paddock.engine.config.sglang.layer import translated

    return translated(given)


def _dialect_defaults(backend: str) -> list[Layer]:
    if backend != SGLANG:
        return []
    from paddock.engine.config.sglang.layer import dialect_defaults

    return [dialect_defaults()]


def read_command_line(argv: Sequence[str], words: Vocabulary | None = None) -> Layer:
    """Read words into raw values, without the file and the environment."""
    reader = _Reader(list(argv), words or vocabulary("vllm"))
    reader.read()
    reader.layer.settle()
    return reader.layer


class _Reader:
    def __init__(self, words: list[str], known: Vocabulary) -> None:
        self.words = words
        self.known = known
        self.layer = Layer(source="command line")
        self.positionals: list[str] = []
        self.pieces: list[Callable[[], None]] = []

    def read(self) -> None:
        while self.words:
            word = self.words.pop(0)
            if word == "--":
                self.positionals += self.words
                break
            if _is_flag(word):
                self._flag(word)
            else:
                self.positionals.append(word)
        # `--arg.key v` and `--arg {…}` may come in any order and make one object.
        for piece in self.pieces:
            piece()
        self._positionals()

    def _positionals(self) -> None:
        if not self.positionals:
            return
        model, *rest = self.positionals
        entry = self.known.model
        if self.layer.get(entry) is not None:
            self._problem(model, f"the model is given twice, here and as {entry.flag}")
        self.layer.put(entry, model, "the model")
        for word in rest:
            self._problem(shown(word), "unexpected argument; only the model stands without a flag")

    def _flag(self, word: str) -> None:
        if _LEVEL.fullmatch(word):
            word = f"-O={word[2:]}"
        name, inline, dotted = _split(word)
        entry = self.known.find(name)
        if entry is not None and dotted:
            self._dotted(entry, dotted, word, inline)
        elif entry is not None:
            self._entry(entry, name, inline)
        elif (negated := self.known.negations.get(name)) is not None:
            self._negation(negated, name, inline)
        elif (removed := self.known.removed.get(name)) is not None:
            self._removed(removed, name, inline)
        else:
            self._unknown(name)

    def _entry(self, entry: Entry, name: str, inline: str | None) -> None:
        base = entry.kind.base
        if base == "bool" and inline is None:
            self.layer.put(entry, True)
        elif base == "list":
            self._list(entry, name, inline)
        elif inline is None and self._at_end() and entry.argument.bare is not None:
            self.layer.put(entry, entry.argument.bare)
        elif (text := self._value(entry, name, inline)) is not None:
            self.layer.put(entry, from_text(text, entry.kind))

    def _list(self, entry: Entry, name: str, inline: str | None) -> None:
        words = [inline] if inline is not None else self._values()
        if not words:
            self._problem(name, f"needs a value: {describe(entry.kind)}")
            return
        value = from_words(words, entry.kind)
        before = self.layer.get(entry)
        if entry.argument.style == "repeat" and isinstance(before, list) and isinstance(value, list):
            value = before + value
        self.layer.put(entry, value)

    def _dotted(self, entry: Entry, keys: Sequence[str], word: str, inline: str | None) -> None:
        name = word.partition("=")[0]
        if entry.kind.base not in ("json", "object", "map"):
            self._problem(name, f"only JSON arguments take keys; {entry.flag} is {describe(entry.kind)}")
            return
        text = self._value(entry, name, inline)
        if text is None:
            return
        append = keys[-1].endswith("+")
        keys = [*keys[:-1], keys[-1].removesuffix("+")]
        value = from_dotted(text, keys, entry.kind, append)
        self.pieces.append(lambda: self._piece(entry, keys, value, append, name))

    def _piece(self, entry: Entry, keys: Sequence[str], value: object, append: bool, name: str) -> None:
        whole = self.layer.get(entry)
        whole = copy.deepcopy(whole) if isinstance(whole, dict) else {}
        if all(keys) and _set_key(whole, keys, value, append):
            self.layer.put(entry, whole)
        else:
            self._problem(name, "does not fit the keys given before it")

    def _negation(self, entry: Entry, name: str, inline: str | None) -> None:
        if inline is not None:
            self._problem(name, f"takes no value; use {entry.flag}={inline} or {name} alone")
        else:
            self.layer.put(entry, False)

    def _removed(self, removed: Removed, name: str, inline: str | None) -> None:
        if removed.base == "bool":
            self.layer.retire(removed, True if inline is None else inline.lower() == "true", name)
            return
        words = (
            [inline] if inline is not None else self._values() if removed.base == "list" else self._values(1)
        )
        self.layer.retire(removed, _old_value(removed, words), name)

    def _unknown(self, name: str) -> None:
        # Its values, if it has any, would otherwise be taken for the model.
        self._values()
        self._problem(shown(name), f"unknown flag{nearest(name, self.known.known())}")

    def _value(self, entry: Entry, name: str, inline: str | None) -> str | None:
        if inline is not None:
            return inline
        if self._at_end():
            hint = f" (one that starts with a dash is written {name}=-…)" if self.words else ""
            self._problem(name, f"needs a value: {describe(entry.kind)}{hint}")
            return None
        return self.words.pop(0)

    def _values(self, most: int | None = None) -> list[str]:
        words = list(takewhile(lambda word: not _is_flag(word), self.words))[:most]
        del self.words[: len(words)]
        return words

    def _at_end(self) -> bool:
        return not self.words or _is_flag(self.words[0])

    def _problem(self, origin: str, message: str) -> None:
        self.layer.problems.append(Problem((), message, origin=origin))


def _is_flag(word: str) -> bool:
    return len(word) > 1 and word.startswith("-") and not _NUMBER.fullmatch(word)


def _split(word: str) -> tuple[str, str | None, list[str]]:
    """Take `--a_b.c.d=x` apart: `--a-b`, `x`, `[c, d]`."""
    head, equals, inline = word.partition("=")
    name, *keys = head.split(".")
    return name.replace("_", "-"), inline if equals else None, keys


def _old_value(removed: Removed, words: Sequence[str]) -> object:
    if removed.base == "list" or not words:
        return list(words)
    return from_text(words[0], Kind(removed.base))


def _set_key(whole: dict[str, Any], keys: Sequence[str], value: object, append: bool) -> bool:
    """Set a nested key in place; False if something else than an object or list is in the way."""
    *path, last = keys
    for key in path:
        inner = whole.setdefault(key, {})
        if not isinstance(inner, dict):
            return False
        whole = inner
    if not append:
        whole[last] = value
        return True
    elements = whole.setdefault(last, [])
    if not isinstance(elements, list) or not isinstance(value, list):
        return False
    elements += value
    return True
