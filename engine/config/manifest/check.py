"""`paddock manifest --check FILE`: what `kubectl apply` would say, without a cluster.

Walks the schema of the CustomResourceDefinition (a copy is in `schema.json`) as the API server does: unknown
fields first, then defaults, types and bounds, then the CEL rules. The messages are the API server's.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from paddock.engine.config.manifest.cel import parse
from paddock.engine.config.manifest.cel_library import CelError, equal, re2

Schema = Mapping[str, Any]

API_VERSION = "paddock.dev/v1alpha1"
KIND = "InferenceService"
_NUMBERS = ("integer", "number")


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that the API server would refuse."""

    path: str
    message: str
    blocks_rules: bool = False
    """The value has no sound type or size, so the CEL rules are not looked at."""

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


@cache
def schema() -> Schema:
    """The schema of a whole InferenceService."""
    loaded: Schema = json.loads((files(__package__) / "schema.json").read_text())
    return loaded


def check(manifest: Mapping[str, Any]) -> list[Fault]:
    """List what is wrong with an InferenceService; empty if the API server would store it."""
    unknown = list(_unknown(manifest, schema(), ""))
    if unknown:
        return unknown
    whole = defaulted(manifest, schema())
    faults = list(_faults(whole, schema(), ""))
    if not any(fault.blocks_rules for fault in faults):
        faults += _broken_rules(whole, schema(), "")
    return faults


def _unknown(value: Any, node: Schema, path: str) -> Iterator[Fault]:
    if isinstance(value, Mapping) and "properties" in node and path != ".metadata":
        for name, inner in value.items():
            if name in node["properties"]:
                yield from _unknown(inner, node["properties"][name], f"{path}.{name}")
            else:
                field = f"{path}.{name}".removeprefix(".")
                yield Fault(field, f'strict decoding error: unknown field "{field}"', True)
    for name, inner in _elements(value, node):
        yield from _unknown(inner, _inner(node), path + name)


def _elements(value: Any, node: Schema) -> Iterator[tuple[str, Any]]:
    if isinstance(value, list) and "items" in node:
        yield from ((f"[{index}]", each) for index, each in enumerate(value))
    if isinstance(value, Mapping) and "additionalProperties" in node:
        yield from ((f".{name}", each) for name, each in value.items())


def _inner(node: Schema) -> Schema:
    inner: Schema = node.get("items") or node.get("additionalProperties") or {}
    return inner


def defaulted(value: Any, node: Schema) -> Any:
    """Fill in defaults as the API server does; null counts as absent where there is one."""
    if isinstance(value, Mapping) and "properties" in node:
        filled = {name: each for name, each in value.items() if each is not None}
        for name, field in node["properties"].items():
            if name not in filled and "default" in field:
                filled[name] = field["default"]
            if name in filled:
                filled[name] = defaulted(filled[name], field)
        return filled
    if isinstance(value, list) and "items" in node:
        return [defaulted(each, node["items"]) for each in value]
    return value


def _faults(value: Any, node: Schema, path: str) -> Iterator[Fault]:
    name = path.removeprefix(".")
    if (wanted := _wrong_type(value, node)) is not None:
        kind = _type_name(value, wanted)
        yield Fault(name, f'Invalid value: "{kind}": {name} in body must be of type {wanted}: "{kind}"', True)
        return
    yield from _scalar_faults(value, node, name)
    if isinstance(value, Mapping):
        for field in node.get("required", ()):
            if field not in value:
                yield Fault(f"{path}.{field}".removeprefix("."), "Required value", True)
        for field, inner in value.items():
            if field in node.get("properties", {}):
                yield from _faults(inner, node["properties"][field], f"{path}.{field}")
    for key, inner in _elements(value, node):
        yield from _faults(inner, _inner(node), path + key)


def _wrong_type(value: Any, node: Schema) -> str | None:
    """The wanted type, if the value has another one."""
    whole = _is_whole(value) or (isinstance(value, float) and value.is_integer())
    whole = whole and -(2**63) <= value < 2**63
    if node.get("x-kubernetes-int-or-string"):
        return None if isinstance(value, str) or whole else "integer,string"
    wanted: str | None = node.get("type")
    fits = {
        "object": isinstance(value, Mapping),
        "array": isinstance(value, list),
        "string": isinstance(value, str),
        "boolean": isinstance(value, bool),
        "integer": whole,
        "number": isinstance(value, int | float) and not isinstance(value, bool),
    }
    if wanted is None or fits[wanted]:
        return None
    # The API server checks the format first, except for text.
    return wanted if isinstance(value, str | list) else node.get("format", wanted)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _type_name(value: Any, wanted: str) -> str:
    if wanted in ("int32", "int64"):
        return "float64" if isinstance(value, int | float) and not isinstance(value, bool) else ""
    names = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
    return names.get(type(value), "null")


def _scalar_faults(value: Any, node: Schema, name: str) -> Iterator[Fault]:
    if "enum" in node and not any(equal(value, each) for each in node["enum"]):
        known = ", ".join(f'"{each}"' for each in node["enum"])
        yield Fault(name, f"Unsupported value: {_printed(value)}: supported values: {known}", True)
    if isinstance(value, str):
        yield from _text_faults(value, node, name)
    if isinstance(value, int | float) and not isinstance(value, bool):
        for words in _out_of_bounds(value, node):
            yield Fault(name, f"Invalid value: {_printed(value)}: {name} in body should be {words}")
    for limit, size in (("maxItems", list), ("maxProperties", dict)):
        if limit in node and isinstance(value, size) and len(value) > node[limit]:
            yield Fault(name, f"Too many: {len(value)}: must have at most {node[limit]} items", True)


def _printed(value: Any) -> str:
    plain = int(value) if isinstance(value, float) and value.is_integer() else value
    return json.dumps(plain, ensure_ascii=False, default=str)


def _text_faults(text: str, node: Schema, name: str) -> Iterator[Fault]:
    if len(text) > node.get("maxLength", len(text)):
        yield Fault(name, f"Too long: may not be more than {node['maxLength']} bytes", True)
    if len(text) < node.get("minLength", 0):
        words = f"at least {node['minLength']} chars long"
        yield Fault(name, f"Invalid value: {_printed(text)}: {name} in body should be {words}")
    if "pattern" in node and re.search(re2(node["pattern"]), text) is None:
        words = f"should match '{node['pattern']}'"
        yield Fault(name, f"Invalid value: {_printed(text)}: {name} in body {words}")


def _out_of_bounds(value: float, node: Schema) -> Iterator[str]:
    low, high = node.get("minimum"), node.get("maximum")
    if low is not None and (value < low or (node.get("exclusiveMinimum") and value == low)):
        yield f"greater than {'' if node.get('exclusiveMinimum') else 'or equal to '}{low}"
    if high is not None and (value > high or (node.get("exclusiveMaximum") and value == high)):
        yield f"less than {'' if node.get('exclusiveMaximum') else 'or equal to '}{high}"


def _broken_rules(value: Any, node: Schema, path: str) -> Iterator[Fault]:
    for rule in node.get("x-kubernetes-validations", ()):
        place = (path + rule.get("fieldPath", "")).removeprefix(".")
        try:
            if "self" in rule["rule"]:
                _check_number(value, node)
            if not parse(rule["rule"])({"self": value}):
                whole = "fieldPath" in rule or isinstance(value, Mapping | list)
                shown = "" if whole else f"{_printed(value)}: "
                yield Fault(place, f"Invalid value: {shown}{_message(rule, value)}")
        except CelError as error:
            kind = f'"{node.get("type", "")}"'
            yield Fault(place, f"Invalid value: {kind}: {error} evaluating rule: {rule['message']}")
    if isinstance(value, Mapping):
        for field, inner in value.items():
            if field in node.get("properties", {}):
                yield from _broken_rules(inner, node["properties"][field], f"{path}.{field}")
    for key, inner in _elements(value, node):
        yield from _broken_rules(inner, _inner(node), path + key)


def _message(rule: Schema, value: Any) -> str:
    computed = rule.get("messageExpression")
    return str(parse(computed)({"self": value})).strip() if computed else str(rule["message"])


def _check_number(value: Any, node: Schema) -> None:
    """Raise for 8.0 where a whole number is due, as the API server's CEL does."""
    if isinstance(value, float) and node.get("type") == "integer":
        raise CelError("invalid data, expected int, got float64")
    if isinstance(value, float) and node.get("x-kubernetes-int-or-string"):
        raise CelError("invalid data, expected XIntOrString value to be either a string or integer")


def identity_faults(manifest: Any) -> list[Fault]:
    """What must hold before the schema is looked at."""
    if not isinstance(manifest, Mapping):
        return [Fault("manifest", "must be an object")]
    faults = []
    for field, wanted in (("apiVersion", API_VERSION), ("kind", KIND)):
        if manifest.get(field) != wanted:
            faults.append(Fault(field, f"{json.dumps(manifest.get(field), default=str)}: must be {wanted}"))
    metadata = manifest.get("metadata")
    if not isinstance(metadata, Mapping) or not isinstance(metadata.get("name"), str):
        faults.append(Fault("metadata.name", "Required value"))
    return faults
