"""`spec.template.volumes`: files and scratch space beside the model."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from paddock.operator.part import DNS_LABEL, Key, Name, Part, Quantity, rules


class Item(Part):
    """One key of a Secret or ConfigMap as a file."""

    key: Key = Field(description="Key.")
    path: Annotated[str, Field(min_length=1, max_length=512)] = Field(
        description="File, relative to the volume."
    )


class ConfigMapVolume(Part):
    """Files from a ConfigMap."""

    name: Name = Field(description="Name of the ConfigMap.")
    items: Annotated[list[Item], Field(max_length=64)] | None = Field(
        default=None, description="Keys; all when left out."
    )
    optional: bool | None = Field(default=None, description="Start without it when it does not exist.")


class SecretVolume(Part):
    """Files from a Secret."""

    secret_name: Name = Field(description="Name of the Secret.")
    items: Annotated[list[Item], Field(max_length=64)] | None = Field(
        default=None, description="Keys; all when left out."
    )
    optional: bool | None = Field(default=None, description="Start without it when it does not exist.")


class EmptyDirVolume(Part):
    """Scratch space that lives as long as the pod."""

    medium: Literal["", "Memory"] | None = Field(
        default=None, description="Memory for a tmpfs, which counts as memory."
    )
    size_limit: Quantity | None = Field(default=None, description="Most bytes, as 8Gi.")


class ClaimVolume(Part):
    """A PersistentVolumeClaim of the same namespace."""

    claim_name: Name = Field(description="Name of the claim.")
    read_only: bool | None = Field(default=None, description="Mount it read-only.")


_ONE_VOLUME = (
    "[has(self.configMap), has(self.secret), has(self.emptyDir), has(self.persistentVolumeClaim)]"
    ".filter(x, x).size() == 1"
)


class Volume(Part):
    """A volume of the pod; exactly one of the four kinds."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (_ONE_VOLUME, "give exactly one of configMap, secret, emptyDir and persistentVolumeClaim"),
            (
                "!(self.name in ['model', 'tmp', 'shared-memory']) && !self.name.startsWith('paddock-')",
                "the volume names model, tmp, shared-memory and paddock-… are the operator's own",
            ),
        )
    )
    name: Annotated[str, Field(min_length=1, max_length=63, pattern=DNS_LABEL)] = Field(
        description="Name that volumeMounts refer to."
    )
    config_map: ConfigMapVolume | None = Field(default=None, description="Files from a ConfigMap.")
    secret: SecretVolume | None = Field(default=None, description="Files from a Secret.")
    empty_dir: EmptyDirVolume | None = Field(default=None, description="Scratch space.")
    persistent_volume_claim: ClaimVolume | None = Field(default=None, description="A claim.")


class VolumeMount(Part):
    """Where a volume appears in the server container."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "!(self.mountPath in ['/', '/tmp', '/models', '/models/model', '/models/cache'])",
                "/, /tmp and /models are the operator's own: mount somewhere else",
            )
        )
    )
    name: Annotated[str, Field(min_length=1, max_length=63)] = Field(description="Name of the volume.")
    mount_path: Annotated[str, Field(min_length=1, max_length=1024, pattern=r"^/[^:]*$")] = Field(
        description="Absolute path."
    )
    sub_path: Annotated[str, Field(max_length=1024)] | None = Field(
        default=None, description="Path inside the volume."
    )
    read_only: bool | None = Field(default=None, description="Mount it read-only.")
