"""`spec.lora.adapters`: LoRA adapters beside the model; the rest of the group is the engine's."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import ConfigDict, Field

from paddock.operator.part import Part, rules
from paddock.operator.pod_template import LocalReference
from paddock.operator.source import CACHE, DOWNLOADED, URI, Endpoint, uri_rules
from paddock.operator.structural import Schema, structural_schema

ADAPTERS, ADAPTER_SOURCE = "adapters", "source"
ADAPTERS_PATH = "/models/adapters"
"""Holds a folder for each that is mounted, by its name."""


class Adapter(Part):
    """An adapter that is served beside the model."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "self.uri.startsWith('https://') == has(self.sha256)",
                "sha256 is needed for an https:// archive, and belongs to it only",
            )
        )
    )
    name: Annotated[
        str, Field(min_length=1, max_length=63, pattern=r"^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$")
    ] = Field(description="What requests name as their model.")
    uri: Annotated[
        str,
        Field(
            min_length=8,
            max_length=1024,
            pattern=URI,
            json_schema_extra={"x-kubernetes-validations": uri_rules()},
        ),
    ] = Field(
        description="Folder with adapter_config.json and adapter_model.safetensors. hf://owner/name@revision, "
        "s3://bucket/folder and https://host/adapter.tar.gz are fetched while the pods run; pvc://claim/folder, "
        "oci://registry/image:tag?path=/folder and file:///folder/on/the/node (when the operator allows it) are mounted, "
        "and a change of those replaces pods."
    )
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", max_length=64)] | None = Field(
        default=None, description="For https://: the archive's checksum, as sha256sum prints it."
    )

    @property
    def is_fetched(self) -> bool:
        """Whether it comes to running pods; others are volumes of theirs."""
        return re.match(DOWNLOADED, self.uri) is not None


class AdapterSource(Part):
    """How adapters that are fetched are got, and where they are kept. The hub's token is model.hfTokenSecretRef."""

    cache: Annotated[str, Field(max_length=1024, pattern=CACHE)] | None = Field(
        default=None,
        description="Where they are kept: as model.source.cache, which holds when this is left out.",
    )
    hub_endpoint: Endpoint | None = Field(
        default=None, description="Address of a mirror of the hub; the model's when left out."
    )
    s3_endpoint: Endpoint | None = Field(
        default=None, description="Address of an S3 server; the model's when left out."
    )
    credentials_secret_ref: LocalReference | None = Field(
        default=None, description="For s3://: a Secret as in model.source, which holds when this is left out."
    )


class Adapters(Part):
    """The operator's own fields of `spec.lora`."""

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
    source: AdapterSource = Field(
        default=AdapterSource(), description="How adapters that are fetched are got, and where they are kept."
    )


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
