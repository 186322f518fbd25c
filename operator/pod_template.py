"""`spec.template`: the part of a pod that a user may choose, typed.

A chosen subset of the PodSpec and not the whole of it: the resource stays small enough for client-side apply,
and what the operator decides itself (command, probes, ports, security context, update strategy) cannot be
contradicted. The meaning of each field is that of the field of the same name in the core/v1 API.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from paddock.operator.environment import EnvVar
from paddock.operator.part import (
    DNS_LABEL,
    Duration,
    LabelName,
    Labels,
    Name,
    Part,
    Quantities,
    Quantity,
    Text,
    rules,
)
from paddock.operator.placement import Affinity, Toleration, TopologySpread
from paddock.operator.volumes import Volume, VolumeMount

ACCELERATOR = r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$"


class Resources(Part):
    """Compute of one pod, for example `{limits: {nvidia.com/gpu: 1, memory: 24Gi}, requests: {cpu: "4"}}`."""

    limits: Quantities | None = Field(default=None, description="Most that the server container may use.")
    requests: Quantities | None = Field(
        default=None, description="What the scheduler sets aside for the server container."
    )


class LocalReference(Part):
    """A Secret of the same namespace."""

    name: Name = Field(description="Name of the Secret.")


_KEYS_FREE = (
    "self.all(k, !k.startsWith('paddock.dev/') && !k.startsWith('app.kubernetes.io/')"
    " && !k.startsWith('apps.kubernetes.io/'))"
)
_KEYS_MESSAGE = "keys under paddock.dev/, app.kubernetes.io/ and apps.kubernetes.io/ are the operator's own"


_MOUNTS_EXIST = (
    "!has(self.volumeMounts) || self.volumeMounts.all(m, has(self.volumes)"
    " && self.volumes.exists(v, v.name == m.name))"
)


class ResourceClaim(Part):
    """Devices by dynamic resource allocation: an existing claim, or a template of one claim per pod."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "has(self.resourceClaimName) != has(self.resourceClaimTemplateName)",
                "give exactly one of resourceClaimName and resourceClaimTemplateName",
            )
        )
    )
    name: Annotated[str, Field(min_length=1, max_length=63, pattern=DNS_LABEL)] = Field(
        description="Name of the claim inside the pod."
    )
    resource_claim_name: Name | None = Field(default=None, description="ResourceClaim that all pods share.")
    resource_claim_template_name: Name | None = Field(
        default=None, description="ResourceClaimTemplate from which each pod gets a claim of its own."
    )


class Template(Part):
    """What the pods look like beyond what the operator decides."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                _MOUNTS_EXIST,
                "every volumeMounts[].name must be the name of one of volumes",
            )
        )
    )
    image: Annotated[str, Field(min_length=1, max_length=512)] | None = Field(
        default=None, description="Server image instead of the operator's own choice. Pin a tag or digest."
    )
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = Field(
        default=None, description="When the image is pulled; the operator's setting when left out."
    )
    image_pull_secrets: Annotated[list[LocalReference], Field(max_length=8)] | None = Field(
        default=None, description="Secrets for pulling the server image and an oci:// model."
    )
    resources: Resources | None = Field(default=None, description="Compute of each pod.")
    accelerator: Annotated[str, Field(max_length=317, pattern=ACCELERATOR)] | None = Field(
        default=None,
        description="Extended resource of which each pod gets one per rank, as nvidia.com/gpu, unless resources or "
        "resourceClaims give devices. The operator's setting when left out; empty for none.",
    )
    accelerator_memory: Quantity | None = Field(
        default=None,
        description="Memory of one accelerator, as 80Gi: a model or context that cannot fit it is refused. When left out: as "
        "nodeSelector says by nvidia.com/gpu.memory or by the size in nvidia.com/gpu.product, else nothing is checked.",
    )
    resource_claims: Annotated[list[ResourceClaim], Field(max_length=8)] | None = Field(
        default=None, description="Devices by dynamic resource allocation, for the server container."
    )
    shared_memory: Quantity | None = Field(
        default=None,
        description="Size of /dev/shm, as 8Gi; it counts as memory. 2Gi when left out and a pod has several ranks.",
    )
    node_selector: Annotated[Labels, Field(max_length=32)] | None = Field(
        default=None, description="Labels that a node must carry."
    )
    tolerations: Annotated[list[Toleration], Field(max_length=32)] | None = Field(
        default=None, description="Taints that the pods accept."
    )
    affinity: Affinity | None = Field(default=None, description="Where the pods go.")
    topology_spread_constraints: Annotated[list[TopologySpread], Field(max_length=8)] | None = Field(
        default=None, description="How evenly the pods spread."
    )
    group_topology_key: LabelName | None = Field(
        default=None,
        description="Node label, as topology.kubernetes.io/zone or that of a rack: the pods of a replica all run where it has "
        "the same value. Replicas then spread over its values, unless topologySpreadConstraints say otherwise.",
    )
    priority_class_name: Name | None = Field(default=None, description="PriorityClass of the pods.")
    runtime_class_name: Name | None = Field(default=None, description="RuntimeClass of the pods, as nvidia.")
    service_account_name: Name | None = Field(
        default=None, description="ServiceAccount of the pods; its token is not mounted."
    )
    env: Annotated[list[EnvVar], Field(max_length=64)] | None = Field(
        default=None, description="Variables of the server's environment."
    )
    volumes: Annotated[list[Volume], Field(max_length=32)] | None = Field(
        default=None, description="Further volumes."
    )
    volume_mounts: Annotated[list[VolumeMount], Field(max_length=32)] | None = Field(
        default=None, description="Where they appear in the server container."
    )
    labels: (
        Annotated[Labels, Field(max_length=32, json_schema_extra=rules((_KEYS_FREE, _KEYS_MESSAGE)))] | None
    ) = Field(default=None, description="Further labels of the pods.")
    annotations: (
        Annotated[dict[str, Text], Field(max_length=32, json_schema_extra=rules((_KEYS_FREE, _KEYS_MESSAGE)))]
        | None
    ) = Field(default=None, description="Further annotations of the pods. A change here replaces every pod.")
    startup_timeout: Duration = Field(
        default="30m",
        description="How long loading the model may take before the container is restarted, as 45m or 1h30m.",
    )
    termination_grace_period_seconds: Annotated[int, Field(ge=1, le=86400)] | None = Field(
        default=None,
        description="Seconds between the request to stop and the kill. Derived from rollout.drainTimeout when left "
        "out; a smaller value than that needs is refused.",
    )
