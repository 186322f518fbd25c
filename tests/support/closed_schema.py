"""OpenAPI schemas that refuse what they do not name."""

from typing import Any


def closed(schema: Any) -> Any:
    """The schema with every object that lists its properties refusing others, as `kubectl apply` does."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    copy = {key: closed(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object":
        copy.setdefault("additionalProperties", False)
    return copy
