"""Values, good and bad, of every argument that a spec can hold, and whether the configuration takes them."""

import json
from collections.abc import Iterator
from typing import Any

from paddock.engine.config import SpecError, from_spec
from paddock.engine.config.catalogue import Entry, spec_entries
from paddock.engine.config.kinds import Kind, kind_of
from paddock.engine.config.naming import camel
from paddock.engine.config.sglang.catalogue import sglang_spec_entries

ANYTHING: list[Any] = [
    "word",
    "",
    "9",
    "1.5k",
    "32K",
    "{}",
    '{"a": 1}',
    -1,
    0,
    1,
    2,
    0.5,
    8.0,
    16.0,
    True,
    False,
    [],
    ["a"],
    [1],
    {},
]
SECRETS: list[Any] = [
    {"name": "a", "key": "b"},
    {"name": "a"},
    {"name": "a", "key": "b c"},
    {"name": "", "key": "b"},
    3,
]
ADAPTERS: list[Any] = [[{"name": "a", "path": "b"}], [{"name": "a"}], [{"name": "", "path": "b"}]]


def whole(spec: dict[str, Any]) -> dict[str, Any]:
    """An InferenceService with this spec and a model."""
    return {
        "apiVersion": "paddock.dev/v1alpha1",
        "kind": "InferenceService",
        "metadata": {"name": "a"},
        "spec": {**spec, "model": {"uri": "hf://owner/a", **spec.get("model", {})}},
    }


def accepted(spec: dict[str, Any]) -> bool:
    try:
        from_spec(spec)
    except SpecError:
        return False
    return True


def spec_of(group: str, entry: Entry, value: Any) -> dict[str, Any]:
    """A spec in which that argument alone is set."""
    return {camel(group): {entry.spec_field: value}} | ({"backend": group} if group == "sglang" else {})


def probes(group: str) -> Iterator[tuple[Entry, Any]]:
    entries = sglang_spec_entries() if group == "sglang" else spec_entries(group)
    for entry in entries.values():
        values = SECRETS if entry.argument.secret else [*ANYTHING, *edges(entry.kind), *keys(entry.kind)]
        seen = {json.dumps(value): value for value in values}
        yield from ((entry, value) for value in seen.values())


def edges(kind: Kind) -> Iterator[Any]:
    yield from kind.choices
    for bound in (kind.ge, kind.gt, kind.le, kind.lt):
        if bound is not None:
            yield from (bound - 1, bound, bound + 1)
    if kind.max_length and kind.base == "str":
        yield from ("x" * kind.max_length, "x" * (kind.max_length + 1))


def keys(kind: Kind) -> Iterator[Any]:
    if kind.item is not None and kind.item.structure is not None:
        yield from ADAPTERS
    if kind.structure is None:
        return
    for name, info in kind.structure.model_fields.items():
        inner = kind_of(info)
        yield from ({camel(name): value} for value in [-1, 1, "word", True, [1], *edges(inner)])
