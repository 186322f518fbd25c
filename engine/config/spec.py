"""From the argument groups of an InferenceService to a configuration."""

import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

from paddock.engine.config.argument import State, Structure, same
from paddock.engine.config.build import build
from paddock.engine.config.catalogue import Entry, group_entries, nearest
from paddock.engine.config.groups import GROUPS
from paddock.engine.config.kinds import Kind, kind_of
from paddock.engine.config.naming import camel
from paddock.engine.config.problems import SpecError, in_spec
from paddock.engine.config.refusals import refusal
from paddock.engine.config.serve import ServeConfig
from paddock.engine.config.values import MAX_SECRET_NAME, SECRET_KEY

Error = tuple[str, str]


def from_spec(
    spec: Mapping[str, Any], *, model_path: str | None = None, warn: Callable[[str], None] | None = None
) -> ServeConfig:
    """Read the argument groups of a spec; what else is in it (`replicas`, `model.uri`, …) is not looked at.

    `model_path` becomes the model. Secret references are checked for shape and support only, since their
    values reach the process through its environment. Raises SpecError with every problem found.
    """
    reader = _SpecReader()
    raw = {group: reader.group(group, spec.get(camel(group))) for group in GROUPS}
    if model_path is not None:
        raw["model"]["model"] = model_path
    built = build(raw)
    for warning in built.warnings if warn else ():
        assert warn is not None
        warn(warning)
    errors = [*reader.errors, *map(in_spec, built.problems)]
    if errors or built.config is None:
        raise SpecError(errors)
    return built.config


class _SpecReader:
    """Gathers raw values and, beside them, what only a spec can have wrong."""

    def __init__(self) -> None:
        self.errors: list[Error] = []

    def group(self, group: str, given: object) -> dict[str, Any]:
        path = f"spec.{camel(group)}"
        if given is None:
            return {}
        if not isinstance(given, Mapping):
            self.errors.append((path, "must be an object"))
            return {}
        known = _fields(group)
        values: dict[str, Any] = {}
        for field, value in given.items():
            entry = known.get(field)
            if value is None or (group == "model" and field == "uri"):
                continue
            if entry is None:
                self.errors.append((f"{path}.{field}", f"unknown field{nearest(str(field), known)}"))
            elif entry.argument.secret:
                self.errors += _secret(entry, value)
            else:
                self.errors += _in_cluster(entry, value)
                values[entry.name] = self.value(value, entry.kind, f"{path}.{field}")
        return values

    def value(self, value: object, kind: Kind, path: str) -> object:
        """Spell the keys of a structure as on the command line; all else stays as it is."""
        if isinstance(value, Mapping) and kind.structure is not None:
            return self.keys(value, kind.structure, path)
        if isinstance(value, list | tuple) and kind.item is not None:
            return [self.value(each, kind.item, f"{path}[{index}]") for index, each in enumerate(value)]
        if kind.base == "json" and not isinstance(value, str):
            self.errors.append((path, "must be text that holds a JSON object"))
            return {}
        return _integral(value) if kind.base in ("int", "size", "enum") else value

    def keys(self, given: Mapping[str, Any], structure: type[Structure], path: str) -> dict[str, Any]:
        known = {camel(name): name for name in structure.model_fields}
        values: dict[str, Any] = {}
        for key, value in given.items():
            if key not in known:
                self.errors.append((f"{path}.{key}", f"unknown field{nearest(str(key), known)}"))
            elif value is not None:
                info = structure.model_fields[known[key]]
                values[known[key]] = self.value(value, kind_of(info), f"{path}.{key}")
        return values


@cache
def _fields(group: str) -> Mapping[str, Entry]:
    entries = {entry.spec_field: entry for entry in group_entries(group)}
    if group == "model":
        del entries["model"]
    return entries


def _secret(entry: Entry, value: object) -> Iterator[Error]:
    given = dict(value) if isinstance(value, Mapping) else {}
    names = [given.pop(field, None) for field in ("name", "key")]
    sound = all(isinstance(name, str) and 0 < len(name) <= MAX_SECRET_NAME for name in names)
    if given or not sound or not re.fullmatch(SECRET_KEY, str(names[1])):
        yield entry.spec_path, "must be the {name, key} of a Secret and one of its keys"
    elif entry.argument.state is not State.WORKS:
        yield entry.spec_path, refusal(entry, None)


def _in_cluster(entry: Entry, value: object) -> Iterator[Error]:
    argument = entry.argument
    if argument.cluster_reason and not same(value, entry.default):
        yield entry.spec_path, f"cannot be changed here: {argument.cluster_reason}"
    lowest = argument.cluster_minimum
    if lowest is not None and isinstance(value, int | float) and value < lowest:
        yield entry.spec_path, f"{value}: must be at least {lowest} in a cluster"


def _integral(value: object) -> object:
    """JSON has one kind of number: for the API server 8.0 is a whole number."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
