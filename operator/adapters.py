"""`spec.lora.adapters`: LoRA adapters that every pod finds mounted; the rest of the group is the engine's."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from paddock.operator.part import Part
from paddock.operator.structural import Schema, structural_schema

ADAPTERS = "adapters"
ADAPTERS_PATH = "/models/adapters"
"""Holds a folder for each, by its name."""


class Adapter(Part):
    """An adapter that is served beside the model."""

    name: Annotated[
        str, Field(min_length=1, max_length=63, pattern=r"^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$")
    ] = Field(description="What requests name as their model.")
    uri: Annotated[
        str,
        Field(
            min_length=8,
            max_length=1024,
            json_schema_extra={
                "x-kubernetes-validations": [
                    {
                        "rule": "self.matches('^(pvc|oci|file)://[^ ]+$')",
                        "message": "adapters are mounted, not downloaded: pvc://claim/folder, oci://registry/image:tag "
                        "or file:///folder",
                    }
                ]
            },
        ),
    ] = Field(
        description="Folder with adapter_config.json and adapter_model.safetensors: pvc://claim/folder, "
        "oci://registry/image:tag?path=/folder, file:///folder/on/the/node (when the operator allows it)."
    )


class Adapters(Part):
    """The operator's own field of `spec.lora`."""

    adapters: (
        Annotated[
            list[Adapter],
            Field(
                max_length=32,
                json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
            ),
        ]
        | None
    ) = Field(default=None, description="LoRA adapters to serve beside the model; they turn enableLora on.")


def adapters_schemas() -> dict[str, Schema]:
    """The operator's own fields of `spec.lora`."""
    properties: dict[str, Schema] = structural_schema(Adapters)["properties"]
    return properties


def adapters_rules() -> list[dict[str, Any]]:
    """CEL rules over `spec.lora`."""
    return [
        {
            "rule": "!has(self.adapters) || !has(self.enableLora) || self.enableLora",
            "message": "adapters need enableLora; leave it out or set it to true",
            "fieldPath": ".adapters",
        }
    ]
