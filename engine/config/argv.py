"""From a configuration back to the command line that makes it."""

import json
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from paddock.engine.config.argument import same
from paddock.engine.config.catalogue import Entry, entries
from paddock.engine.config.serve import ServeConfig


def to_argv(config: ServeConfig) -> list[str]:
    """Write what follows `serve MODEL`: the arguments that differ from their defaults, by group.

    Secrets are left out: they reach the process through its environment. So are `--config` and `--backend`:
    what they name is in the configuration already, in the words of the flags written here.
    """
    words: list[str] = []
    for entry in entries():
        value = getattr(getattr(config, entry.group), entry.name)
        skipped = entry.argument.secret or entry.flag in ("--model", "--config", "--backend")
        if not skipped and not same(value, entry.default):
            words += _flag(entry, value)
    return words


def _flag(entry: Entry, value: Any) -> list[str]:
    match entry.kind.base:
        case "bool":
            return [entry.flag if value else entry.negation or f"{entry.flag}=false"]
        case "list":
            return list(_list(entry, value))
        case "json" | "object" | "map":
            return [entry.flag, _compact(value)]
    text = repr(value) if isinstance(value, float) else str(value)
    return [f"{entry.flag}={text}"] if text.startswith("-") else [entry.flag, text]


def _list(entry: Entry, values: tuple[Any, ...]) -> Iterator[str]:
    words = [str(value) for value in values if not isinstance(value, BaseModel)]
    plain = len(words) == len(values) > 0 and not any(word.startswith(("-", "[")) for word in words)
    if entry.argument.style == "json" or not plain:
        yield from (entry.flag, _compact(list(values)))
    elif entry.argument.style == "repeat":
        for word in words:
            yield from (entry.flag, word)
    else:
        yield from (entry.flag, *words)


def _compact(value: Any) -> str:
    return json.dumps(value, default=_plain, ensure_ascii=False, separators=(",", ":"))


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(exclude_defaults=True)
    raise TypeError(f"{type(value).__name__} has no JSON form")
