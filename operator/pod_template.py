"""`spec.template`: the part of a pod that a user may choose, typed.

A chosen subset of the PodSpec and not the whole of it: the resource stays small enough for client-side apply,
and what the operator decides itself (command, probes, ports, security context, update strategy) cannot be
contradicted. The meaning of each field is that of the field of the same name in the core/v1 API.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

_QUANTITY = r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]+)?$"
_LABEL_NAME = (
    r"^([A-Za-z0-9]([-A-Za-z0-9_.]{0,251}[A-Za-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$"
)
_DNS_LABEL = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"
_DNS_NAME = r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$"
_ENV_NAME = r"^[A-Za-z_][A-Za-z0-9_.-]*$"
DURATION = r"^([0-9]+h)?([0-9]+m)?([0-9]+s)?$"


class Part(BaseModel):
    """A piece of the resource: camelCase outside, closed, immutable."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True, regex_engine="python-re"
    )


def rules(*pairs: tuple[str, str]) -> dict[str, Any]:
    """`json_schema_extra` that carries CEL rules: pairs of (rule, message in the user's words)."""
    return {"x-kubernetes-validations": [{"rule": rule, "message": message} for rule, message in pairs]}


Quantity = Annotated[
    str | int,
    AfterValidator(str),  # as the API server stores it
    Field(json_schema_extra={"x-kubernetes-int-or-string": True, "pattern": _QUANTITY, "anyOf": None}),
]
Quantities = Annotated[dict[str, Quantity], Field(max_length=16)]
Text = Annotated[str, Field(max_length=4096)]
Name = Annotated[str, Field(min_length=1, max_length=253, pattern=_DNS_NAME)]
Key = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")]
LabelName = Annotated[str, Field(min_length=1, max_length=317, pattern=_LABEL_NAME)]
LabelValue = Annotated[
    str, Field(max_length=63, pattern=r"^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$")
]
Duration = Annotated[str, Field(min_length=2, max_length=12, pattern=DURATION)]
Labels = dict[str, LabelValue]


class Resources(Part):
    """Compute of one pod, for example `{limits: {nvidia.com/gpu: 1, memory: 24Gi}, requests: {cpu: "4"}}`."""

    limits: Quantities | None = Field(default=None, description="Most that the server container may use.")
    requests: Quantities | None = Field(
        default=None, description="What the scheduler sets aside for the server container."
    )


class Toleration(Part):
    """A taint that the pods accept."""

    key: LabelName | None = Field(
        default=None, description="Taint key; left out with operator Exists, it means every key."
    )
    operator: Literal["Exists", "Equal"] | None = Field(
        default=None, description="Equal (the default) or Exists."
    )
    value: LabelValue | None = Field(default=None, description="Taint value for operator Equal.")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(
        default=None, description="Taint effect; left out, it means every effect."
    )
    toleration_seconds: int | None = Field(
        default=None, description="With effect NoExecute: how long a pod stays after the taint comes."
    )


class Requirement(Part):
    """One expression over labels; all expressions of a list must hold."""

    key: LabelName = Field(description="Label key.")
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"] = Field(
        description="Gt and Lt compare node labels as integers and exist for nodes only."
    )
    values: Annotated[list[str], Field(max_length=64)] | None = Field(
        default=None, description="At least one for In and NotIn, one for Gt and Lt, none otherwise."
    )


class LabelSelector(Part):
    """Chooses pods by their labels."""

    match_labels: Labels | None = Field(default=None, description="Labels that a pod must carry.")
    match_expressions: Annotated[list[Requirement], Field(max_length=16)] | None = Field(
        default=None, description="Expressions that must all hold."
    )


class NodeSelectorTerm(Part):
    """Expressions over one node; all must hold."""

    match_expressions: Annotated[list[Requirement], Field(max_length=16)] | None = Field(
        default=None, description="Expressions over the node's labels."
    )
    match_fields: Annotated[list[Requirement], Field(max_length=4)] | None = Field(
        default=None, description="Expressions over the node's fields; metadata.name is the only one."
    )


class NodeSelector(Part):
    """Terms over nodes; one must hold."""

    node_selector_terms: Annotated[list[NodeSelectorTerm], Field(min_length=1, max_length=16)] = Field(
        description="Terms, of which one must hold."
    )


class PreferredNode(Part):
    """A weighted wish about nodes."""

    weight: Annotated[int, Field(ge=1, le=100)] = Field(description="1 to 100.")
    preference: NodeSelectorTerm = Field(description="The wish.")


class NodeAffinity(Part):
    """Which nodes may, or should, run the pods."""

    required_during_scheduling_ignored_during_execution: NodeSelector | None = Field(
        default=None, description="Only such nodes."
    )
    preferred_during_scheduling_ignored_during_execution: (
        Annotated[list[PreferredNode], Field(max_length=16)] | None
    ) = Field(default=None, description="Rather such nodes.")


class PodAffinityTerm(Part):
    """Pods to stand near to, or away from."""

    topology_key: LabelName = Field(
        description="Node label whose equal values mean near, as kubernetes.io/hostname."
    )
    label_selector: LabelSelector | None = Field(default=None, description="Which pods.")
    namespaces: Annotated[list[Name], Field(max_length=16)] | None = Field(
        default=None, description="Namespaces of those pods; the service's own when left out."
    )


class PreferredPod(Part):
    """A weighted wish about other pods."""

    weight: Annotated[int, Field(ge=1, le=100)] = Field(description="1 to 100.")
    pod_affinity_term: PodAffinityTerm = Field(description="The wish.")


class PodAffinity(Part):
    """Pods that must, or should, be near (or, as anti-affinity, away)."""

    required_during_scheduling_ignored_during_execution: (
        Annotated[list[PodAffinityTerm], Field(max_length=8)] | None
    ) = Field(default=None, description="Always.")
    preferred_during_scheduling_ignored_during_execution: (
        Annotated[list[PreferredPod], Field(max_length=8)] | None
    ) = Field(default=None, description="Where possible.")


class Affinity(Part):
    """Where the pods go."""

    node_affinity: NodeAffinity | None = Field(default=None, description="By node.")
    pod_affinity: PodAffinity | None = Field(default=None, description="Near other pods.")
    pod_anti_affinity: PodAffinity | None = Field(default=None, description="Away from other pods.")


class TopologySpread(Part):
    """How evenly the pods spread over zones or nodes."""

    max_skew: Annotated[int, Field(ge=1)] = Field(description="Largest difference of pod counts.")
    topology_key: LabelName = Field(description="Node label that names the zone, rack or host.")
    when_unsatisfiable: Literal["DoNotSchedule", "ScheduleAnyway"] = Field(
        description="Wait, or schedule anyway."
    )
    label_selector: LabelSelector | None = Field(
        default=None, description="Pods that count; this service's own when left out."
    )


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
                "!(self.name in ['PADDOCK_API_KEY', 'PADDOCK_DRAIN_TIMEOUT_SECONDS', 'HOME'])",
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
            ("!(self.name in ['model', 'tmp'])", "the volume names model and tmp are the operator's own"),
        )
    )
    name: Annotated[str, Field(min_length=1, max_length=63, pattern=_DNS_LABEL)] = Field(
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
                "!(self.mountPath in ['/', '/tmp', '/models', '/models/model'])",
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
