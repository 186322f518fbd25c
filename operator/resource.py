"""The InferenceService as the operator reads it, and the schema of the fields that only the operator reads.

The argument groups of the spec (cache, scheduler, frontend, ...) belong to `paddock.engine.config`; here are
the rest: the model's source, replicas, the pod template, the rollout, and the status.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from paddock.operator.adapters import ADAPTER_SOURCE, ADAPTERS, Adapters
from paddock.operator.autoscaling import Autoscaling
from paddock.operator.part import Duration, Part, rules
from paddock.operator.placement import LabelSelector
from paddock.operator.pod_template import Template
from paddock.operator.source import Source
from paddock.operator.structural import Schema, structural_schema

GROUP = "paddock.dev"
VERSION = "v1alpha1"
KIND = "InferenceService"
PLURAL = "inferenceservices"

MODEL_PATH = "/models/model"
"""Where every pod finds its model."""

CACHE_PATH = "/models/cache"
"""Where the init container finds the folder of a cache that it fills."""

DOWNLOAD_CONTAINER = "download"
"""Name of that container."""

SURVEY_CONTAINER = "survey"
"""Name of the container that reads, before the download, what the model is."""

ADAPTER_KEEPER = "adapters"
"""Name of the container that fetches adapters while the server runs."""

PRE_STOP_SECONDS = 3
STOP_MARGIN_SECONDS = PRE_STOP_SECONDS + 15
"""What a pod needs to stop beyond its drain: endpoints forget it first, and the process ends after."""

Bytes = Annotated[int, Field(ge=0, json_schema_extra={"format": "int64"})]
"""Bytes or tokens, which may be more than 32 bits count."""


class Rollout(Part):
    """How pods are replaced when the spec changes. Units are replicas, and a replica is a whole group of
    pods.
    """

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "self.maxSurge > 0 || self.maxUnavailable > 0",
                "maxSurge and maxUnavailable must not both be 0: no replica could ever be replaced",
            )
        )
    )
    max_surge: Annotated[int, Field(ge=0, le=1000)] = Field(
        default=0,
        description="Replicas above spec.replicas that may exist during a rollout. 0, because accelerators are scarce.",
    )
    max_unavailable: Annotated[int, Field(ge=0, le=1000)] = Field(
        default=1, description="Replicas below spec.replicas that may be unavailable during a rollout."
    )
    drain_timeout: Duration = Field(
        default="5m",
        description="How long a pod that is told to stop may go on with the requests it has, as 90s or 5m.",
    )


class Client(Part):
    """Pods that may ask the service."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "has(self.namespaceSelector) || has(self.podSelector)",
                "give namespaceSelector, podSelector or both; an empty one ({}) means all",
            )
        )
    )
    namespace_selector: LabelSelector | None = Field(
        default=None,
        description="Namespaces by their labels; the service's own when left out, all when empty.",
    )
    pod_selector: LabelSelector | None = Field(
        default=None, description="Pods by their labels, in those namespaces; all when left out."
    )


class OperatorSpec(Part):
    """The fields of the spec that only the operator reads, but for those of spec.model."""

    replicas: Annotated[int, Field(ge=0, le=1000)] = Field(
        default=1,
        description="Number of replicas. A replica is one engine: a group of pods that serve together. 0 stops them.",
    )
    nodes: Annotated[int, Field(ge=1, le=256)] | None = Field(
        default=None,
        description="Pods in a replica, which share its ranks (tensorParallelSize times pipelineParallelSize) evenly, or "
        "its engines where dataParallelSize is above 1. When left out: as many as dataParallelSizeLocal or the devices in "
        "template.resources.limits make necessary, else 1.",
    )
    template: Template = Field(
        default=Template(), description="What the pods look like: compute, placement, environment."
    )
    rollout: Rollout = Field(default=Rollout(), description="How pods are replaced when the spec changes.")
    autoscaling: Autoscaling | None = Field(
        default=None, description="Lets the number of replicas follow the load."
    )
    clients: Annotated[list[Client], Field(min_length=1, max_length=16)] | None = Field(
        default=None,
        description="Who may reach the API port, as NetworkPolicy peers; everybody when left out. Needs a network "
        "that enforces policies.",
    )


class Condition(Part):
    """One aspect of the state: Accepted, ModelReady, Progressing, Available, Degraded or AdaptersReady."""

    type: Annotated[str, Field(max_length=64)] = Field(description="Name of the condition.")
    status: Literal["True", "False", "Unknown"] = Field(description="True, False or Unknown.")
    reason: Annotated[str, Field(max_length=128)] = Field(
        description="Cause in one CamelCase word, for programs."
    )
    message: Annotated[str, Field(max_length=2048)] = Field(description="Cause in words, for people.")
    last_transition_time: Annotated[str, Field(json_schema_extra={"format": "date-time"})] = Field(
        description="When status last changed."
    )
    observed_generation: int | None = Field(
        default=None,
        description="metadata.generation that the condition speaks of.",
        json_schema_extra={"format": "int64"},
    )


class Setting(Part):
    """One serve argument that is not at its default."""

    argument: Annotated[str, Field(max_length=128)] = Field(description="Name of the flag, as max-model-len.")
    value: Annotated[str, Field(max_length=256)] = Field(
        description="Value as one line of YAML, cut to 256 characters; *** for a secret."
    )
    origin: Annotated[str, Field(max_length=1024)] = Field(
        description="What set it: a field of the spec, metadata.name, or a Secret and its key."
    )


class MemoryPlan(Part):
    """What a replica takes of its nodes. Figures that are not known are left out."""

    pods_per_replica: int | None = Field(default=None, description="Pods in a replica, given or derived.")
    gpus_per_pod: int | None = Field(
        default=None, description="Accelerators that each pod takes; 0 on CPUs, left out with resourceClaims."
    )
    accelerator_memory_bytes: Bytes | None = Field(
        default=None, description="Memory of one accelerator, where the spec names it."
    )
    weight_bytes: Bytes | None = Field(default=None, description="Weights of one engine, over all its ranks.")
    kv_bytes_per_token: Bytes | None = Field(
        default=None, description="Cache of one token, over all ranks of an engine."
    )
    kv_tokens_per_replica: Bytes | None = Field(
        default=None,
        description="Tokens that the caches of a replica hold: at most, or exactly where a replica reports it.",
    )
    basis: Annotated[str, Field(max_length=512)] | None = Field(
        default=None, description="How the figures are known, or why they are not."
    )
    key: Annotated[str, Field(max_length=16)] | None = Field(
        default=None, description="Of the arguments on which a replica's report depends."
    )


class Status(Part):
    """What the operator last saw."""

    conditions: (
        Annotated[
            list[Condition],
            Field(
                json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}
            ),
        ]
        | None
    ) = Field(
        default=None, description="Accepted, ModelReady, Progressing, Available, Degraded, AdaptersReady."
    )
    observed_generation: int | None = Field(
        default=None,
        description="metadata.generation that this status speaks of.",
        json_schema_extra={"format": "int64"},
    )
    replicas: int | None = Field(default=None, description="Replicas that exist, ready or not.")
    ready_replicas: int | None = Field(default=None, description="Replicas that can answer.")
    updated_replicas: int | None = Field(
        default=None, description="Replicas whose pods all follow the present spec."
    )
    selector: str | None = Field(
        default=None, description="Label selector of the leader pods, for the scale subresource."
    )
    url: str | None = Field(default=None, description="Address inside the cluster; append /v1 paths.")
    revision: str | None = Field(default=None, description="Hash of the spec that new pods follow.")
    ready: str | None = Field(default=None, description="Ready over wanted replicas, as 1/2.")
    plan: MemoryPlan | None = Field(
        default=None, description="Devices, weights and cache of a replica, as far as they are known."
    )
    configuration: (
        Annotated[
            list[Setting], Field(max_length=256, json_schema_extra={"x-kubernetes-list-type": "atomic"})
        ]
        | None
    ) = Field(
        default=None,
        description="The serve arguments that are not at their default, without secrets and without what the model "
        "decides: the first lines of a pod's log show all.",
    )


@dataclass(frozen=True)
class InferenceService:
    """One InferenceService, parsed. `spec` and `status` stay as the API server gave them."""

    namespace: str
    name: str
    uid: str
    generation: int
    spec: Mapping[str, Any]
    status: Mapping[str, Any]
    deleting: bool

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> InferenceService:
        meta = body["metadata"]
        return cls(
            namespace=meta["namespace"],
            name=meta["name"],
            uid=meta["uid"],
            generation=meta["generation"],
            spec=body.get("spec") or {},
            status=body.get("status") or {},
            deleting="deletionTimestamp" in meta,
        )

    @property
    def replicas(self) -> int:
        """Wanted replicas, also where the rest of the spec is refused."""
        return int(self.spec.get("replicas", 1))

    def operator_spec(self) -> OperatorSpec:
        """The operator's own part of the spec. Raises pydantic.ValidationError naming field and rule."""
        fields = (field.alias or name for name, field in OperatorSpec.model_fields.items())
        return OperatorSpec.model_validate({name: self.spec[name] for name in fields if name in self.spec})

    def adapters(self) -> Adapters:
        """The operator's part of `spec.lora`. Raises pydantic.ValidationError."""
        lora = self.spec.get("lora") or {}
        return Adapters.model_validate({key: lora[key] for key in (ADAPTERS, ADAPTER_SOURCE) if key in lora})

    def source(self) -> Source:
        """How the model is downloaded. Raises pydantic.ValidationError."""
        return Source.model_validate((self.spec.get("model") or {}).get("source") or {})


def operator_spec_schema() -> dict[str, Schema]:
    """Schema of each field of the spec that only the operator reads (those of spec.model: see source.py)."""
    properties: dict[str, Schema] = structural_schema(OperatorSpec)["properties"]
    return properties


def status_schema() -> Schema:
    """Schema of the status subresource."""
    schema = structural_schema(Status)
    return {**schema, "description": "What the operator last saw."}


def operator_rules() -> list[dict[str, str]]:
    """CEL rules over spec that span operator fields."""
    return [
        {
            "rule": "!has(self.template.terminationGracePeriodSeconds) || duration(self.rollout.drainTimeout)"
            f".getSeconds() + {STOP_MARGIN_SECONDS} <= self.template.terminationGracePeriodSeconds",
            "message": f"template.terminationGracePeriodSeconds must be at least rollout.drainTimeout plus "
            f"{STOP_MARGIN_SECONDS} seconds, or left out",
        },
        {
            "rule": f"!has(self.nodes) || {_size('dataParallelSize')} > 1 || ({_size('tensorParallelSize')} * "
            f"{_size('pipelineParallelSize')}) % self.nodes == 0",
            "message": "nodes must divide parallel.tensorParallelSize times parallel.pipelineParallelSize: every pod of a "
            "replica runs the same number of ranks",
            "fieldPath": ".nodes",
        },
        {
            "rule": f"!has(self.nodes) || {_size('dataParallelSize')} == 1 || {_size('dataParallelSize')} % self.nodes == 0",
            "message": "nodes must divide parallel.dataParallelSize: every pod of a replica runs the same number of engines, "
            "and an engine does not span pods",
            "fieldPath": ".nodes",
        },
        {
            "rule": "!has(self.parallel.dataParallelSizeLocal) || self.parallel.dataParallelSizeLocal <= 1 || "
            f"{_size('dataParallelSize')} % self.parallel.dataParallelSizeLocal == 0",
            "message": "dataParallelSizeLocal must divide dataParallelSize: every pod of a replica runs the same number of "
            "engines",
            "fieldPath": ".parallel",
        },
        {
            "rule": "!has(self.nodes) || !has(self.parallel.dataParallelSizeLocal) || "
            f"self.nodes * self.parallel.dataParallelSizeLocal == {_size('dataParallelSize')} || "
            f"{_size('dataParallelSize')} == 1",
            "message": "nodes times parallel.dataParallelSizeLocal must be parallel.dataParallelSize; leave one of them out",
            "fieldPath": ".nodes",
        },
        {
            "rule": f"!self.parallel.dataParallelHybridLb || {_size('dataParallelSize')} > 1",
            "message": "dataParallelHybridLb needs dataParallelSize above 1: one engine has one API",
            "fieldPath": ".parallel",
        },
    ]


def _size(field: str) -> str:
    """Of `parallel`, or as the other dialect says it; both at once is refused by a rule of its own."""
    ours, theirs = f"self.parallel.{field}", f"self.sglang.{field}"
    return f"({ours} > 1 ? {ours} : has(self.sglang) && has({theirs}) ? {theirs} : 1)"


def object_rules() -> list[dict[str, str]]:
    """CEL rules over the whole object: pod, label and revision names built on the name stay inside 63
    characters.
    """
    return [
        {
            "rule": "self.metadata.name.matches('^[a-z]([-a-z0-9]{0,45}[a-z0-9])?$')",
            "message": "metadata.name must be at most 47 characters of a-z, 0-9 and -, begin with a letter and not end "
            "with -: the names of pods and Services are built on it",
        },
    ]
