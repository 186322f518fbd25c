"""What is wrong with a configuration, worded for the door it came through."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pydantic import BaseModel

from paddock.engine.config.naming import camel, flag_of

MAX_SHOWN = 80
FIELD_REFERENCE = re.compile(r"\{(\w+)\.(\w+)\}")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing to repair.

    `path` is (group, field, keys…). A `{group.field}` in `message` is spelled as the reader knows that field.
    """

    path: tuple[str | int, ...]
    message: str
    value: str = ""
    """The offending value as it may be shown; empty for a secret or where the message says it."""

    origin: str = ""
    """Where the value came from, if that is not the field's own flag."""

    involved: tuple[tuple[str, str], ...] = ()
    """The fields that a violated rule reads."""

    unsupported: bool = False
    """The argument is well formed; only this engine cannot act on it."""


class ArgumentError(Exception):
    """A command line, configuration file or environment that cannot be served; the text is for the user."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(in_flags(problem) for problem in problems))


class SpecError(Exception):
    """An InferenceService whose arguments cannot be served; `errors` are (field path, message)."""

    def __init__(self, errors: Sequence[tuple[str, str]]) -> None:
        self.errors = list(errors)
        super().__init__("\n".join(f"{path}: {message}" for path, message in self.errors))


class Refusals(ValueError):
    """Problems found by a model's own validators, carried through pydantic's error."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(in_flags(problem) for problem in problems))


def shown(value: object, quoted: bool = False) -> str:
    """Print a value for an error message, clipped; quotes tell text from the number it looks like."""
    text = value if isinstance(value, str) and not quoted else _as_json(value)
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 1] + "…"


def _as_json(value: object) -> str:
    return json.dumps(value, default=_given_keys, ensure_ascii=False)


def _given_keys(value: object) -> object:
    return value.model_dump(exclude_unset=True) if isinstance(value, BaseModel) else str(value)


def in_flags(problem: Problem) -> str:
    """Word a problem for somebody who typed flags."""
    name = problem.origin or flag_name(problem.path)
    message = spelled(problem.message, lambda _, field: flag_of(field))
    if message.startswith(name):
        return message
    return " ".join(part for part in (name, problem.value) if part) + f": {message}"


def in_spec(problem: Problem) -> tuple[str, str]:
    """Word a problem for somebody who wrote an InferenceService: (field path, message)."""
    message = spelled(problem.message, lambda _, field: camel(field))
    return spec_name(problem.path), ": ".join(part for part in (problem.value, message) if part)


def spelled(message: str, spell: Callable[[str, str], str]) -> str:
    """Replace every `{group.field}` of a message by the reader's spelling."""
    return FIELD_REFERENCE.sub(lambda match: spell(match[1], match[2]), message)


def flag_name(path: Sequence[str | int]) -> str:
    """Spell a path as a flag, with a dot before each key of a JSON argument."""
    if len(path) < 2:
        return " ".join(map(str, path))
    _, name, *keys = path
    return ".".join([flag_of(str(name)), *map(str, keys)])


def spec_name(path: Sequence[str | int]) -> str:
    """Spell a path as a field of an InferenceService."""
    text = "spec"
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{camel(part)}"
    return text
