"""`paddock serve MODEL --flags`: from words to raw values."""

import copy
import re
from collections.abc import Callable, Sequence
from itertools import takewhile
from typing import Any

from paddock.engine.config.catalogue import Entry, nearest
from paddock.engine.config.kinds import Kind, describe
from paddock.engine.config.layer import Layer
from paddock.engine.config.problems import Problem, shown
from paddock.engine.config.removed import Removed
from paddock.engine.config.vocabulary import Vocabulary, vocabulary
from paddock.engine.config.words import from_dotted, from_text, from_words

_NUMBER = re.compile(r"-[0-9.]+([eE][+-]?[0-9]+)?")
_LEVEL = re.compile(r"-O[0-9]+")


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
            if is_flag(word):
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
        name, inline, dotted = split_flag(word)
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
        words = list(takewhile(lambda word: not is_flag(word), self.words))[:most]
        del self.words[: len(words)]
        return words

    def _at_end(self) -> bool:
        return not self.words or is_flag(self.words[0])

    def _problem(self, origin: str, message: str) -> None:
        self.layer.problems.append(Problem((), message, origin=origin))


def is_flag(word: str) -> bool:
    """Whether a word is a flag, and not a value that begins with a dash."""
    return len(word) > 1 and word.startswith("-") and not _NUMBER.fullmatch(word)


def split_flag(word: str) -> tuple[str, str | None, list[str]]:
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
