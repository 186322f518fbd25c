"""`spec.template.env`: variables of the server's environment."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from paddock.operator.part import Key, Name, Part, rules

_OWN = (
    "PADDOCK_API_KEY",
    "PADDOCK_DRAIN_TIMEOUT_SECONDS",
    "PADDOCK_GROUP_SECRET",
    "NODE_RANK",
    "GROUP_INDEX",
    "HOME",
)
_ENV_NAME = r"^[A-Za-z_][A-Za-z0-9_.-]*$"


class KeyRef(Part):
    """One key of a Secret or ConfigMap of the same namespace."""

    name: Name = Field(description="Name of the Secret or ConfigMap.")
    key: Key = Field(description="Key in it.")
    optional: bool | None = Field(default=None, description="Start without it when it does not exist.")


class FieldRef(Part):
    """A field of the pod."""

    field_path: Annotated[str, Field(min_length=1, max_length=256)] = Field(
        description="As status.podIP, spec.nodeName or metadata.labels['key']."
    )


_ONE_SOURCE = (
    "[has(self.secretKeyRef), has(self.configMapKeyRef), has(self.fieldRef)].filter(x, x).size() == 1"
)


class EnvSource(Part):
    """Where a variable's value comes from; exactly one of the three."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (_ONE_SOURCE, "give exactly one of secretKeyRef, configMapKeyRef and fieldRef")
        )
    )
    secret_key_ref: KeyRef | None = Field(default=None, description="A key of a Secret.")
    config_map_key_ref: KeyRef | None = Field(default=None, description="A key of a ConfigMap.")
    field_ref: FieldRef | None = Field(default=None, description="A field of the pod.")


class EnvVar(Part):
    """A variable of the server's environment; secret values by `valueFrom` only."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            ("!(has(self.value) && has(self.valueFrom))", "give value or valueFrom, not both"),
            (
                f"!(self.name in {list(_OWN)})",
                "the operator sets this variable: use spec.frontend.apiKeySecretRef or spec.rollout.drainTimeout",
            ),
        )
    )
    name: Annotated[str, Field(min_length=1, max_length=128, pattern=_ENV_NAME)] = Field(
        description="Name of the variable."
    )
    value: Annotated[str, Field(max_length=4096)] | None = Field(
        default=None, description="Literal value; never a secret."
    )
    value_from: EnvSource | None = Field(default=None, description="Source of the value.")
