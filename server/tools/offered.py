"""The functions a request offers to the model."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

JSON_TYPES = frozenset({"string", "integer", "number", "boolean", "object", "array", "null"})


@dataclass(frozen=True, slots=True)
class OfferedTools:
    """JSON schemas of the parameters, by name of the function."""

    schemas: Mapping[str, Mapping[str, Any]]

    def __contains__(self, name: str) -> bool:
        return name in self.schemas

    def types_of(self, function: str, parameter: str) -> frozenset[str]:
        """JSON types that a parameter may have; all of them where the schema does not say."""
        properties = self.schemas.get(function, {}).get("properties")
        schema = properties.get(parameter) if isinstance(properties, dict) else None
        return _types(schema) or JSON_TYPES


def _types(schema: object) -> frozenset[str]:
    if not isinstance(schema, dict):
        return frozenset()
    named = schema.get("type")
    if isinstance(named, str):
        return frozenset({named}) & JSON_TYPES
    if isinstance(named, list):
        return frozenset(name for name in named if isinstance(name, str)) & JSON_TYPES
    choices = schema.get("enum")
    if isinstance(choices, list) and choices and all(isinstance(choice, str) for choice in choices):
        return frozenset({"string"})
    branches = schema.get("anyOf") or schema.get("oneOf")
    return frozenset().union(*map(_types, branches)) if isinstance(branches, list) else frozenset()
