"""The OpenAPI schema of the argument groups keeps to what the API server allows."""

from collections.abc import Iterator
from typing import Any

import pytest

from paddock.engine.config import group_schemas
from paddock.engine.config.catalogue import SPEC_PATHS, entries
from paddock.engine.config.naming import camel

Schema = dict[str, Any]


def nodes(schema: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    yield path, schema
    for name, inner in schema.get("properties", {}).items():
        yield from nodes(inner, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if key in schema:
            yield from nodes(schema[key], f"{path}.{key}")


EVERY = dict(pair for group, schema in group_schemas().items() for pair in nodes(schema, group))


def property_of(group: str, field: str) -> Schema:
    return dict(group_schemas()[group]["properties"][field])


def test_every_argument_but_the_model_is_a_field() -> None:
    fields = {
        f"spec.{group}.{name}" for group, each in group_schemas().items() for name in each["properties"]
    }

    assert fields == {entry.spec_path for entry in entries()} - {"spec.model.uri", "spec.backend"}


def test_everything_is_typed_and_closed() -> None:
    for path, node in EVERY.items():
        assert "type" in node or node.get("x-kubernetes-int-or-string"), path
        assert "x-kubernetes-preserve-unknown-fields" not in node, path
        assert not ("properties" in node and "additionalProperties" in node), path


def test_every_field_has_a_description() -> None:
    named = {
        path: node
        for path, node in EVERY.items()
        if path.rsplit(".", 1)[-1] not in ("items", "additionalProperties")
    }

    assert all(node.get("description") for node in named.values())


def test_every_container_and_text_is_bounded_so_that_rules_stay_cheap() -> None:
    bound = {"string": "maxLength", "array": "maxItems"}
    for path, node in EVERY.items():
        needed = bound.get(node.get("type", ""))
        assert needed is None or needed in node or "enum" in node, path
        assert "additionalProperties" not in node or "maxProperties" in node, path


@pytest.mark.parametrize(
    "entry",
    [each for each in entries() if (each.group, each.name) not in SPEC_PATHS],
    ids=lambda entry: str(entry.flag),
)
def test_defaults_appear_in_the_stored_object(entry: Any) -> None:
    schema = property_of(camel(entry.group), entry.spec_field)

    if entry.deprecated or entry.argument.secret or entry.default is None:
        assert "default" not in schema
    elif entry.kind.base in ("bool", "int", "float", "str", "enum"):
        assert schema["default"] == entry.default


def test_a_group_appears_with_its_defaults_when_it_is_left_out() -> None:
    assert all(schema["default"] == {} for schema in group_schemas().values())


def test_bounds_and_choices_are_those_of_the_command_line() -> None:
    share = property_of("cache", "gpuMemoryUtilization")
    assert (share["minimum"], share["exclusiveMinimum"], share["maximum"]) == (0, True, 1)
    assert property_of("cache", "blockSize")["enum"] == [1, 8, 16, 32, 64, 128]
    assert property_of("model", "maxModelLen")["x-kubernetes-int-or-string"] is True


def test_secrets_are_references() -> None:
    assert property_of("frontend", "apiKeySecretRef")["required"] == ["name", "key"]
    assert "apiKey" not in group_schemas()["frontend"]["properties"]


def test_what_is_not_supported_has_a_rule_that_names_the_argument() -> None:
    [rule] = property_of("cache", "kvSharingFastPrefill")["x-kubernetes-validations"]
    assert rule["rule"] == "self == false"
    message = "kvSharingFastPrefill (--kv-sharing-fast-prefill): not supported yet; leave it at false"
    assert rule["message"] == message


def test_a_bound_that_a_double_cannot_hold_is_left_to_the_format() -> None:
    seed = property_of("model", "seed")

    assert seed["format"] == "int64"
    assert "maximum" not in seed
