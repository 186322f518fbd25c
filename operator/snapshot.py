"""One look at an InferenceService and all it owns, reduced to what planning and status need."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from paddock.operator.adapter_reports import Reports
from paddock.operator.diagnosis import Problem, is_ready, problem_of
from paddock.operator.origin import origin
from paddock.operator.plan.fetched_adapters import WANTED_ADAPTERS
from paddock.operator.plan.labels import EACH_ANSWERS, GROUP_LABEL, answers
from paddock.operator.plan.revision import REVISION
from paddock.operator.plan.rollout import Group
from paddock.operator.plan.survey import Survey, survey_of
from paddock.operator.resource import InferenceService

Body = Mapping[str, Any]


@dataclass(frozen=True)
class Pod:
    """A live pod of the service. `stopping`: it has been told to stop. `controlled`: a StatefulSet keeps it, or kept it
    until the garbage collector comes. `scheme`: it speaks http or https.
    `answers_alone`: it serves the API for its own engines, whatever becomes of the rest of its group. `metrics`: where
    it tells of itself, empty where it does not.
    """

    name: str
    uid: str
    resource_version: str
    group: int
    revision: str
    ready: bool
    stopping: bool
    controlled: bool = True
    problem: Problem | None = None
    scheme: str = "http"
    answers_alone: bool = False
    metrics: str = ""
    wanted_adapters: str | None = None
    """The list of adapters that it bears; None where it cannot take any while it runs."""

    survey: Survey | None = None
    """What it read of the model before the download."""

    @classmethod
    def of(cls, body: Body, warnings: tuple[str, ...] = ()) -> Pod:
        meta = body["metadata"]
        labels = meta.get("labels") or {}
        return cls(
            name=meta["name"],
            uid=meta["uid"],
            resource_version=meta["resourceVersion"],
            group=int(labels.get(GROUP_LABEL, -1)),
            revision=labels.get(REVISION, ""),
            ready=is_ready(body),
            stopping="deletionTimestamp" in meta,
            controlled=any(owner.get("controller") for owner in meta.get("ownerReferences") or ()),
            problem=problem_of(body, warnings),
            scheme=_scheme(body),
            answers_alone=EACH_ANSWERS.items() <= labels.items(),
            metrics=metrics_address(body) if answers(labels) else "",
            wanted_adapters=(meta.get("annotations") or {}).get(WANTED_ADAPTERS),
            survey=survey_of(body),
        )


@dataclass(frozen=True)
class Snapshot:
    """What lives now.

    `stateful_sets` by group index and `companions` by (kind, name), such as Services, hold only what this
    resource owns and nobody deletes; `leaving`: indices of the other StatefulSets. `refusals`: why the StatefulSet of an index cannot
    create pods. `missing_claim`: the model's PersistentVolumeClaim, which does not exist. `ready_endpoints`:
    addresses behind the client Service. `downloads`: how far pods are that fetch the model. `conflicts`: names that somebody else holds. `is_silent`: something
    is awaited whose change no watched object will show.
    """

    service: InferenceService
    stateful_sets: Mapping[int, Body] = field(default_factory=dict)
    pods: tuple[Pod, ...] = ()
    companions: Mapping[tuple[str, str], Body] = field(default_factory=dict)
    ready_endpoints: int = 0
    leaving: frozenset[int] = frozenset()
    refusals: Mapping[int, Problem] = field(default_factory=dict)
    missing_claim: str | None = None
    downloads: Mapping[str, str] = field(default_factory=dict)
    adapters: Reports = field(default_factory=dict)
    """What pods tell of the adapters that they fetch."""

    conflicts: tuple[Problem, ...] = ()
    unmeasured: Problem | None = None
    """Why nothing can scale the service; it serves all the same."""

    is_silent: bool = False

    def surveys(self) -> dict[str, Survey]:
        """By the revision of the pods that made them."""
        return {pod.revision: pod.survey for pod in self.pods if pod.survey is not None}

    def groups(self) -> list[Group]:
        return [self._group(index) for index in sorted(self.stateful_sets)]

    def pods_of(self, index: int) -> list[Pod]:
        return [pod for pod in self.pods if pod.group == index]

    def abandoned(self) -> list[Pod]:
        """Pods that stay although their StatefulSet went (`kubectl delete --cascade=orphan`): nothing else ends them."""
        alone = (pod for pod in self.pods if not pod.controlled and pod.group not in self.stateful_sets)
        return [pod for pod in alone if not pod.stopping]

    def problems(self) -> list[Problem]:
        """Every problem there is: conflicts, then those of pods by group, then StatefulSets without pods."""
        groups = sorted({pod.group for pod in self.pods})
        refusals = (self.refusals[index] for index in sorted(self.refusals))
        return [*self.conflicts, *chain.from_iterable(map(self._problems_of, groups)), *refusals]

    def _problems_of(self, index: int) -> list[Problem]:
        """By pod, but first what takes a pod's own status to tell; an echo only where nothing else is known."""
        pods = sorted(self.pods_of(index), key=lambda pod: pod.name)
        found = [pod.problem for pod in pods if pod.problem]
        causes = [problem for problem in found if not problem.is_echo] or found
        return sorted(causes, key=lambda problem: problem.reason != "OutOfMemory")

    def schemes(self) -> frozenset[str]:
        """What the pods that stay speak: http, https, or both while a rollout changes it."""
        return frozenset(pod.scheme for pod in self.pods if not pod.stopping)

    def served_scheme(self, wanted: str) -> str:
        """What a client should speak now: `wanted`, unless every ready pod still speaks the other one."""
        served = {pod.scheme for pod in self.pods if pod.ready and not pod.stopping}
        return wanted if wanted in served or not served else served.pop()

    def each_answers(self) -> bool:
        """Whether every pod that stays serves the API by itself."""
        return all(pod.answers_alone for pod in self.pods if not pod.stopping)

    def vacated(self) -> frozenset[int]:
        """Group indices whose former StatefulSet or pods are still going: not to be used before they are
        gone.
        """
        return self.leaving | {pod.group for pod in self.pods if pod.group not in self.stateful_sets}

    def _group(self, index: int) -> Group:
        body = self.stateful_sets[index]
        pods = self.pods_of(index)
        wanted = body["spec"].get("replicas", 1)
        return Group(
            index=index,
            revision=revision_label(body),
            pod_revisions=frozenset(pod.revision for pod in pods if not pod.stopping),
            available=len(pods) == wanted and all(pod.ready for pod in pods),
            broken=index in self.refusals or any(pod.problem for pod in pods),
        )


def companion_key(body: Body) -> tuple[str, str]:
    return body["kind"], body["metadata"]["name"]


def metrics_address(pod: Body) -> str:
    """Of `/metrics` of a pod that answers; empty while it has no address."""
    [port] = pod["spec"]["containers"][0].get("ports") or [None]
    host = (pod.get("status") or {}).get("podIP")
    if not host or port is None:
        return ""
    return f"{origin(port['name'], host, port['containerPort'])}/metrics"


def _scheme(pod: Body) -> str:
    """Name of the port that the operator gave the pod."""
    ports = pod["spec"]["containers"][0].get("ports") or ()
    return "https" if any(port.get("name") == "https" for port in ports) else "http"


def revision_label(stateful_set: Body) -> str:
    """Revision of the pods that this StatefulSet creates next."""
    labels = stateful_set["spec"]["template"]["metadata"].get("labels") or {}
    return str(labels.get(REVISION, ""))


def is_settled(stateful_set: Body) -> bool:
    """Whether the StatefulSet controller has seen the present template: it would create new pods from it."""
    observed = (stateful_set.get("status") or {}).get("observedGeneration", 0)
    return bool(observed >= stateful_set["metadata"]["generation"])
