"""The schemas inside a JSON Schema (drafts 6 to 2020-12)."""

from collections.abc import Iterator
from typing import Any

Schema = dict[str, Any]

_ONE = (
    "items", "additionalItems", "additionalProperties", "contains", "not", "if", "then", "else", "propertyNames",
    "unevaluatedItems", "unevaluatedProperties",
)  # fmt: skip
_LISTS = ("allOf", "anyOf", "oneOf", "prefixItems", "items")
_MAPS = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")


def walk(schema: Any, place: str = "#") -> Iterator[tuple[str, Schema]]:
    """Each schema that is an object, the outer one first, with its JSON pointer."""
    if not isinstance(schema, dict):
        return
    yield place, schema
    for key in _ONE:
        yield from walk(schema.get(key), f"{place}/{key}")
    for key in _LISTS:
        for index, part in enumerate(_as(list, schema.get(key))):
            yield from walk(part, f"{place}/{key}/{index}")
    for key in _MAPS:
        for name, part in _as(dict, schema.get(key)).items():
            yield from walk(part, f"{place}/{key}/{name}")


def _as(kind: type, value: Any) -> Any:
    return value if isinstance(value, kind) else kind()
