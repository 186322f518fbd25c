"""What of JSON Schema each library keeps, as found by drawing random texts and validating them.

A library ignores much of what it does not keep, and then texts end that do not fit the schema. What is not listed here
goes to another library, or is refused with the keyword's name.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from paddock.engine.structured_output.schema_walk import Schema, walk

ASSERTIONS = frozenset({
    "$ref", "$dynamicRef", "$recursiveRef", "type", "enum", "const", "multipleOf", "maximum", "exclusiveMaximum",
    "minimum", "exclusiveMinimum", "maxLength", "minLength", "pattern", "format", "items", "prefixItems",
    "additionalItems", "contains", "maxContains", "minContains", "maxItems", "minItems", "uniqueItems", "properties",
    "patternProperties", "additionalProperties", "propertyNames", "maxProperties", "minProperties", "required",
    "dependentRequired", "dependentSchemas", "dependencies", "allOf", "anyOf", "oneOf", "not", "if", "then", "else",
    "unevaluatedItems", "unevaluatedProperties",
})  # fmt: skip
"""Keywords that can make a value invalid; all others are notes to the reader, or hold definitions."""

Rule = Callable[[Schema], str | None]
"""Why a schema cannot be kept for a combination of keywords, beginning with one of them."""


@dataclass(frozen=True, slots=True)
class Support:
    keywords: frozenset[str]
    rules: tuple[Rule, ...] = ()


def unkept_keyword(schema: Any, support: Support) -> str | None:
    """The first keyword that is not kept, with its place; None when there is none."""
    for place, part in walk(schema):
        unkept = sorted(part.keys() & ASSERTIONS - support.keywords)
        found = unkept[0] if unkept else next(filter(None, (rule(part) for rule in support.rules)), None)
        if found is not None:
            return f"the keyword {found} at {place} cannot be kept"
    return None


def _stands_alone(keyword: str) -> Rule:
    """Its neighbours would be ignored."""

    def rule(schema: Schema) -> str | None:
        beside = sorted(schema.keys() & ASSERTIONS - {keyword})
        return f"{keyword} beside {beside[0]}" if keyword in schema and beside else None

    return rule


def _single_all_of(schema: Schema) -> str | None:
    return "allOf of several schemas" if len(schema.get("allOf", ())) > 1 else None


def _only_with_type(keywords: set[str], types: set[str]) -> Rule:
    def rule(schema: Schema) -> str | None:
        if schema.get("type") in types if isinstance(schema.get("type"), str) else False:
            return None
        found = sorted(schema.keys() & keywords)
        return f"{found[0]} without type {' or '.join(sorted(types))}" if found else None

    return rule


def _required_is_listed(schema: Schema) -> str | None:
    missing = [name for name in schema.get("required", ()) if name not in schema.get("properties", {})]
    return f"required with {missing[0]!r}, which is not among properties," if missing else None


def _only_formats(*formats: str) -> Rule:
    def rule(schema: Schema) -> str | None:
        name = schema.get("format")
        return f"format {name}" if name is not None and name not in formats else None

    return rule


def _whole_steps_alone(schema: Schema) -> str | None:
    """A bound, or a step that is no integer, makes the step be forgotten."""
    step = schema.get("multipleOf")
    if step is None or (isinstance(step, int) and not schema.keys() & _NUMBER_BOUNDS):
        return None
    return f"multipleOf {step}" if not isinstance(step, int) else "multipleOf beside bounds"


def _unescaped_names_when_open(schema: Schema) -> str | None:
    """A name that JSON escapes, or may escape, is not seen as taken when further keys may follow."""
    if schema.get("additionalProperties") is False:
        return None
    odd = [name for name in schema.get("properties", {}) if json.dumps(name) != f'"{name}"']
    return f"properties with the name {odd[0]!r}, open to others," if odd else None


def _plain_names(schema: Schema) -> str | None:
    odd = [name for name in schema.get("properties", {}) if not _is_plain(name)]
    return f"properties with the name {odd[0]!r}" if odd else None


def _plain_enum(schema: Schema) -> str | None:
    for keyword in ("enum", "const"):
        values = schema.get(keyword, []) if keyword == "enum" else [schema.get(keyword, "")]
        if not all(isinstance(value, str) and _is_plain(value) for value in values):
            return f"{keyword} of other values than plain strings"
    return None


def _is_plain(text: str) -> bool:
    return json.dumps(text) == f'"{text}"' and not set(text) & set(r"\.^$|?*+()[]{}")


def _closed_objects(schema: Schema) -> str | None:
    """Objects of any keys come out with a comma too many."""
    if "object" not in _types(schema):
        return None
    closed = schema.get("additionalProperties") is False and schema.get("properties")
    return None if closed else "type object without properties and additionalProperties false"


def _typed(schema: Schema) -> str | None:
    keys = schema.keys() & ASSERTIONS
    known = keys & {"type", "enum", "const", "$ref", "anyOf", "allOf"}
    return None if known else f"{min(keys, default='type')} without a type"


def _no_numbers(schema: Schema) -> str | None:
    """Integers come with exponents, and numbers with zeros in front."""
    found = _types(schema) & {"integer", "number"}
    return f"type {min(found)}" if found else None


def _says_what_is_inside(schema: Schema) -> str | None:
    """Values of any kind make an expression of many megabytes."""
    if "object" in _types(schema) and not schema.get("properties"):
        return "type object without properties"
    return "type array without items" if "array" in _types(schema) and not schema.get("items") else None


def _types(schema: Schema) -> set[str]:
    kinds = schema.get("type", [])
    return {kinds} if isinstance(kinds, str) else set(kinds)


def _no_schema_of_bool(schema: Schema) -> str | None:
    parts = [*schema.get("properties", {}).items(), ("items", schema.get("items"))]
    odd = [name for name, part in parts if isinstance(part, bool)]
    return f"properties with a schema of {odd[0]!r} that is true or false" if odd else None


def _only_closing(schema: Schema) -> str | None:
    return (
        "additionalProperties with a schema" if isinstance(schema.get("additionalProperties"), dict) else None
    )


_ALONE = tuple(_stands_alone(keyword) for keyword in ("$ref", "anyOf", "allOf", "enum", "const"))
_NUMBER_BOUNDS = {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}
_ITEM_COUNTS = {"minItems", "maxItems"}
_COMMON = frozenset({
    "$ref", "type", "enum", "const", "items", "minItems", "maxItems", "properties", "required", "additionalProperties",
    "anyOf", "allOf",
})  # fmt: skip

XGRAMMAR = Support(
    _COMMON | _NUMBER_BOUNDS | {"multipleOf", "prefixItems", "format"},
    (
        *_ALONE,
        _single_all_of,
        _required_is_listed,
        _only_with_type(_NUMBER_BOUNDS, {"integer", "number"}),
        _only_with_type({"multipleOf"}, {"integer"}),
        _whole_steps_alone,
        _only_with_type(_ITEM_COUNTS, {"array"}),
        _unescaped_names_when_open,
        _only_with_type({"format"}, {"string"}),
        _only_formats("date", "time", "date-time", "duration", "hostname", "ipv4", "ipv6", "uuid"),
    ),
)
GUIDANCE = Support(
    ASSERTIONS - {"$dynamicRef", "$recursiveRef", "dependencies", "propertyNames"},
)
"""It refuses by itself what it cannot keep, and names it."""

OUTLINES = Support(
    _COMMON | {"minLength", "maxLength"},
    (
        *_ALONE,
        _single_all_of,
        _required_is_listed,
        _only_closing,
        _says_what_is_inside,
        _plain_names,
        _plain_enum,
        _typed,
        _no_schema_of_bool,
        _only_with_type({"minLength", "maxLength"}, {"string"}),
    ),
)
LM_FORMAT_ENFORCER = Support(
    _COMMON - {"allOf", "$ref"},
    (
        *_ALONE,
        _required_is_listed,
        _plain_names,
        _plain_enum,
        _typed,
        _no_numbers,
        _closed_objects,
        _no_schema_of_bool,
        _only_with_type(_ITEM_COUNTS, {"array"}),
    ),
)
