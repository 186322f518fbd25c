"""A user's JSON schema, checked and put into a form that means the same to every library."""

import json
from typing import Any

import jsonschema

from paddock.engine.structured_output.errors import ConstraintError
from paddock.engine.structured_output.schema_keywords import ASSERTIONS
from paddock.engine.structured_output.schema_walk import Schema, walk

STANDARD_FORMATS = frozenset({
    "date-time", "date", "time", "duration", "email", "idn-email", "hostname", "idn-hostname", "ipv4", "ipv6", "uri",
    "uri-reference", "iri", "iri-reference", "uuid", "uri-template", "json-pointer", "relative-json-pointer", "regex",
})  # fmt: skip
MOST_SCHEMAS = 2_000
MOST_REPETITIONS = 100_000
_COUNTS = ("minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties")
_WITHOUT_EFFECT = {"uniqueItems": False, "unevaluatedItems": True, "unevaluatedProperties": True}
_FOLLOWERS = {"then": "if", "else": "if", "minContains": "contains", "maxContains": "contains"}
"""These say nothing without the other keyword."""


def read_schema(text: str, closed: bool) -> Any:
    """The schema, true as `{}`. `closed` forbids keys that an object's `properties` do not name.

    Raises `ConstraintError` that names the keyword and its place.
    """
    schema: Any = json.loads(text)
    if schema is True:
        return {}
    if schema is False:
        raise ConstraintError("the schema is false, which no text fits")
    for _, part in list(walk(schema)):
        _modernize(part)
    _check_sizes(schema)
    _check(schema)
    inside_all_of = {id(inner) for _, part in walk(schema) for inner in part.get("allOf", ())}
    for place, part in list(walk(schema)):
        _narrow_enum(place, part)
        if closed and id(part) not in inside_all_of:
            _close(part)
    return schema


def _check_sizes(schema: Any) -> None:
    for count, (place, part) in enumerate(walk(schema), 1):
        if count > MOST_SCHEMAS:
            raise ConstraintError(f"the schema holds more than {MOST_SCHEMAS} schemas")
        for keyword in _COUNTS:
            value = part.get(keyword)
            if isinstance(value, int) and value > MOST_REPETITIONS:
                raise ConstraintError(
                    f"the keyword {keyword} at {place} is {value}; at most {MOST_REPETITIONS}"
                )
        _check_ref(place, part, schema)


def _check_ref(place: str, part: Schema, root: Any) -> None:
    ref = part.get("$ref")
    if ref is None:
        return
    target: Any = root
    if isinstance(ref, str) and ref.startswith("#"):
        for step in ref[1:].split("/")[1:]:
            key = step.replace("~1", "/").replace("~0", "~")
            target = target.get(key) if isinstance(target, dict) else None
        if isinstance(target, dict | bool) and (ref == "#" or ref.startswith("#/")):
            return
    raise ConstraintError(f"the keyword $ref at {place} is {ref!r}, which leads to no schema within this one")


def _modernize(part: Schema) -> None:
    """Tuples of older drafts are written as today's; what asserts nothing is left out, since libraries trip over it."""
    if isinstance(part.get("items"), list):
        part["prefixItems"] = part.pop("items")
        if "additionalItems" in part:
            part["items"] = part.pop("additionalItems")
    if isinstance(part.get("format"), str) and part["format"] not in STANDARD_FORMATS:
        del part["format"]
    for name in ("x-guidance", "$schema"):
        part.pop(name, None)
    for name, value in _WITHOUT_EFFECT.items():
        if part.get(name) is value:
            del part[name]
    for name, leader in _FOLLOWERS.items():
        if leader not in part:
            part.pop(name, None)
    for name in _COUNTS:
        if isinstance(part.get(name), float) and part[name].is_integer():
            part[name] = int(part[name])


def _check(schema: Any) -> None:
    try:
        jsonschema.Draft202012Validator.check_schema(schema)
    except jsonschema.SchemaError as error:
        where = "/".join(["#", *map(str, error.absolute_path)])
        raise ConstraintError(f"this is no JSON schema: {error.message[:300]} (at {where})") from None
    except RecursionError:
        raise ConstraintError("the schema is nested too deeply") from None


def _narrow_enum(place: str, part: Schema) -> None:
    """Keep of `enum` and `const` what the neighbours allow, and drop those: libraries read either, not both."""
    keyword = "const" if "const" in part else "enum"
    neighbours = {key: part[key] for key in part.keys() & ASSERTIONS - {keyword}}
    if keyword not in part or "$ref" in json.dumps(neighbours):
        return
    values = [part[keyword]] if keyword == "const" else part[keyword]
    validator = jsonschema.Draft202012Validator(neighbours)
    fitting = [value for value in values if validator.is_valid(value)]
    if not fitting:
        raise ConstraintError(f"the keyword {keyword} at {place} holds no value that fits its neighbours")
    for key in neighbours:
        del part[key]
    if keyword == "enum":
        part["enum"] = fitting


def _close(part: Schema) -> None:
    if ("properties" in part or "patternProperties" in part) and "additionalProperties" not in part:
        part["additionalProperties"] = False
