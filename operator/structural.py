"""From a pydantic model to a structural OpenAPI v3 schema, the form that a CustomResourceDefinition takes.

A structural schema allows no `$ref`, no `anyOf` with types inside, and `additionalProperties` only instead of
`properties`. Pydantic writes all three, so its JSON schema is inlined and trimmed here.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

Schema = dict[str, Any]

_COPIED = (
    "type", "description", "enum", "pattern", "minimum", "maximum", "minLength", "maxLength", "minItems",
    "maxItems", "minProperties", "maxProperties", "default", "format",
)  # fmt: skip


def structural_schema(model: type[BaseModel]) -> Schema:
    """The structural schema of `model` under its camelCase names, descriptions and defaults included."""
    raw = model.model_json_schema(by_alias=True)
    return _convert(raw, raw.get("$defs", {}))


def _convert(raw: Mapping[str, Any], defs: Mapping[str, Any]) -> Schema:
    raw = _without_null(_inlined(raw, defs), defs)
    schema = {key: copy.deepcopy(raw[key]) for key in _COPIED if raw.get(key) is not None}
    schema |= {key: value for key, value in raw.items() if key.startswith("x-kubernetes-")}
    if "const" in raw:
        schema["enum"] = [raw["const"]]
    if isinstance(schema.get("default"), dict):
        schema["default"] = {}  # the API server goes on to fill in the defaults of the fields inside
    if "properties" in raw:
        schema["properties"] = {name: _convert(field, defs) for name, field in raw["properties"].items()}
    if isinstance(raw.get("additionalProperties"), Mapping):
        schema["additionalProperties"] = _convert(raw["additionalProperties"], defs)
    if "items" in raw:
        schema["items"] = _convert(raw["items"], defs)
    if raw.get("required"):
        schema["required"] = list(raw["required"])
    if schema.get("x-kubernetes-int-or-string"):
        schema.pop("type", None)
    return schema


def _inlined(raw: Mapping[str, Any], defs: Mapping[str, Any]) -> Schema:
    """`raw` with its reference replaced by what it names; what stands beside the reference wins."""
    if "$ref" not in raw:
        return dict(raw)
    target = defs[raw["$ref"].removeprefix("#/$defs/")]
    return {**target, **{key: value for key, value in raw.items() if key != "$ref"}}


def _without_null(raw: Schema, defs: Mapping[str, Any]) -> Schema:
    """An optional field is one that may be left out: the null branch and the null default go."""
    options = [option for option in raw.get("anyOf") or () if option.get("type") != "null"]
    if len(options) != 1:
        return raw
    rest = {key: value for key, value in raw.items() if key != "anyOf"}
    return {**_inlined(options[0], defs), **rest}
