"""`spec.template`: on which nodes the pods run."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from paddock.operator.part import LabelName, Labels, LabelValue, Name, Part


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
