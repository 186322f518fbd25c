"""Deprecated and removed arguments, turned into their successors before anything is validated."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic import BaseModel

from paddock.engine.config.argument import Successor, same
from paddock.engine.config.catalogue import Entry, by_path, entries
from paddock.engine.config.problems import Problem

Raw = Mapping[str, Any]
"""Values as given, by group and field; groups of the wrong type are left for pydantic to refuse."""


@dataclass(frozen=True, slots=True)
class Translated:
    """An old argument that was given, and where its value went."""

    entry: Entry
    targets: tuple[tuple[str, ...], ...]

    @property
    def warning(self) -> str:
        """What the user should change."""
        assert self.entry.argument.successor is not None
        return f"{self.entry.flag} is deprecated: use {self.entry.argument.successor.text}"


def replace_deprecated(raw: Raw) -> tuple[dict[str, Any], list[Translated], list[Problem]]:
    """Move every deprecated value to its successor; both given at once is a problem."""
    values = {group: dict(fields) if isinstance(fields, Mapping) else fields for group, fields in raw.items()}
    done: list[Translated] = []
    problems: list[Problem] = []
    for entry in _deprecated():
        fields = values.get(entry.group)
        if not isinstance(fields, dict) or fields.get(entry.name) is None:
            continue
        assert entry.argument.successor is not None
        moved = entry.argument.successor.translate(fields[entry.name])
        if moved is None:
            continue
        del fields[entry.name]
        done.append(Translated(entry, tuple(moved)))
        problems += place(values, moved, (entry.group, entry.name), entry.argument.successor)
    return values, done, problems


def place(
    values: dict[str, Any],
    moved: Mapping[tuple[str, ...], object],
    old: tuple[str, str],
    successor: Successor,
) -> list[Problem]:
    """Put translated values in place, unless something else than a default is there already."""
    for (group, name, *keys), value in moved.items():
        fields = values.setdefault(group, {})
        if not isinstance(fields, dict):
            continue
        if not keys:
            taken = name in fields and not same(fields[name], by_path()[group, name].default)
            fields[name] = fields[name] if taken else value
        else:
            inner = _as_dict(fields.get(name))
            default = _default_key(group, name, keys[0])
            taken = inner is None or (keys[0] in inner and not same(inner[keys[0]], default))
            fields[name] = fields[name] if inner is None or taken else inner | {keys[0]: value}
        if taken:
            return [Problem(old, f"says the same as {successor.text}, which is also given; keep the latter")]
    return []


def _default_key(group: str, name: str, key: str) -> object:
    structure = by_path()[group, name].kind.structure
    return structure.model_fields[key].default if structure is not None else None


def _as_dict(value: object) -> dict[str, Any] | None:
    if value is None:
        return {}
    if isinstance(value, BaseModel):
        return value.model_dump(exclude_unset=True)
    return dict(value) if isinstance(value, Mapping) else None


@cache
def _deprecated() -> tuple[Entry, ...]:
    return tuple(entry for entry in entries() if entry.deprecated)
