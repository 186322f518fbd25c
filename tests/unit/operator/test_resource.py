"""The operator's fields: one definition for what is parsed and what the API server checks."""

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import ValidationError

from paddock.operator import resource
from paddock.operator.resource import InferenceService, OperatorSpec, Status


def nodes(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema inside `schema`, with its path."""
    yield path, schema
    for name, inner in schema.get("properties", {}).items():
        yield from nodes(inner, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            yield from nodes(schema[key], f"{path}[]")


def everything() -> dict[str, Any]:
    spec = {"type": "object", "description": "spec", "properties": resource.operator_spec_schema()}
    return {
        "type": "object",
        "description": "all",
        "properties": {"spec": spec, "status": resource.status_schema()},
    }


def test_the_schema_is_structural() -> None:
    for path, schema in nodes(everything()):
        assert not {"$ref", "$defs", "anyOf", "title", "const", "nullable"} & set(schema), path
        assert schema.get("type") or schema.get("x-kubernetes-int-or-string"), path
        if "properties" in schema:
            assert "additionalProperties" not in schema, path


def test_every_field_is_explained() -> None:
    for path, schema in nodes(everything()):
        if path and not path.endswith("[]"):
            assert len(schema.get("description", "")) > 3, path


def test_lists_that_rules_walk_are_bounded() -> None:
    for path, schema in nodes({"type": "object", "properties": resource.operator_spec_schema()}):
        if schema.get("type") == "array":
            assert "maxItems" in schema, path


def test_defaults_are_those_of_the_models() -> None:
    schema = resource.operator_spec_schema()
    assert schema["replicas"]["default"] == OperatorSpec().replicas == 1
    assert (
        schema["rollout"]["properties"]["maxUnavailable"]["default"] == OperatorSpec().rollout.max_unavailable
    )
    assert schema["template"]["default"] == {}
    assert schema["template"]["properties"]["startupTimeout"]["default"] == "30m"


def test_what_status_writes_is_what_the_schema_keeps() -> None:
    fields = {field.alias for field in Status.model_fields.values()}
    assert set(resource.status_schema()["properties"]) == fields


def test_a_body_becomes_a_service() -> None:
    meta = {
        "namespace": "models",
        "name": "q",
        "uid": "u",
        "generation": 4,
        "deletionTimestamp": "2026-01-01T00:00:00Z",
    }
    service = InferenceService.of({"metadata": meta, "spec": {"replicas": 3, "cache": {}}})
    assert (service.replicas, service.generation, service.deleting, service.status) == (3, 4, True, {})
    assert service.operator_spec().replicas == 3


def test_an_unknown_field_of_the_template_is_an_error_not_ignored() -> None:
    with pytest.raises(ValidationError, match="hostNetwork"):
        OperatorSpec.model_validate({"template": {"hostNetwork": True}})


def test_int_and_text_quantities_are_one() -> None:
    spec = OperatorSpec.model_validate({"template": {"resources": {"limits": {"cpu": 2, "memory": "1Gi"}}}})
    assert spec.template.resources is not None
    assert spec.template.resources.limits == {"cpu": "2", "memory": "1Gi"}
