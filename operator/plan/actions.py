"""The plan: from an accepted spec and what lives now to the changes to make, in order. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from paddock.operator.plan.adapter_keeper import wanted_adapters
from paddock.operator.plan.blueprint import Blueprint
from paddock.operator.plan.companions import companions, surplus
from paddock.operator.plan.fetched_adapters import WANTED_ADAPTERS
from paddock.operator.plan.group import stateful_set
from paddock.operator.plan.group_secret import IssueSecret, issue
from paddock.operator.plan.network_policy import Isolation
from paddock.operator.plan.pod import pod_template
from paddock.operator.plan.revision import Rendering
from paddock.operator.plan.rollout import Do, Step, Wanted, next_steps
from paddock.operator.snapshot import Pod, Snapshot, companion_key, is_settled, revision_label


@dataclass(frozen=True)
class Note:
    """A Kubernetes Event to record once the action succeeded."""

    reason: str
    action: str
    message: str
    warning: bool = False


@dataclass(frozen=True)
class Apply:
    """Server-side apply of `manifest`; `live` is the object as it was seen, None when there was none."""

    manifest: Mapping[str, Any]
    live: Mapping[str, Any] | None
    note: Note | None = None


@dataclass(frozen=True)
class Delete:
    """Deletes exactly the object that was seen: uid and resourceVersion are preconditions."""

    kind: str
    namespace: str
    name: str
    uid: str
    resource_version: str
    note: Note | None = None


@dataclass(frozen=True)
class Annotate:
    """Sets annotations of the pod of this uid, and nothing else of it."""

    metadata: Mapping[str, Any]
    note: Note | None = None


Action = Apply | Delete | IssueSecret | Annotate
AUTOSCALERS = ("HorizontalPodAutoscaler", "ScaledObject")


def plan(
    blueprint: Blueprint, seen: Snapshot, rendering: Rendering, isolation: Isolation = Isolation()
) -> list[Action]:
    """What to do now. Objects that are as they should be appear too: the apply finds that nothing would
    change.
    """
    template = current_template(blueprint, seen, rendering)
    steps = rollout_steps(blueprint, seen)
    beside = companions(blueprint, seen, isolation)
    unwanted = [_remove(body) for body in surplus(beside, seen)]
    # Two autoscalers of one service would fight, and KEDA refuses to be the second.
    actions: list[Action] = [
        *(each for each in unwanted if each.kind in AUTOSCALERS),
        *issue(blueprint, seen),
        *(Apply(manifest, seen.companions.get(companion_key(manifest))) for manifest in beside),
    ]
    touched = {step.index for step in steps if step.do != Do.RESTART}
    for index, live in sorted(seen.stateful_sets.items()):
        if index not in touched and revision_label(live) == blueprint.revision:
            actions.append(Apply(stateful_set(blueprint, index, template), live))
    for step in steps:
        actions.extend(_act(step, blueprint, seen, template))
    actions.extend(_lists_of_adapters(blueprint, seen))
    if not steps and all(group.available for group in seen.groups()):
        actions.extend(_stop(pod, blueprint) for pod in seen.abandoned())
    return actions + [each for each in unwanted if each.kind not in AUTOSCALERS]


def withdrawal(seen: Snapshot, revision: str) -> list[Delete]:
    """Ends the groups of a revision whose model turned out too large while it was downloaded; one that serves stays."""
    going = [
        body
        for index, body in sorted(seen.stateful_sets.items())
        if revision_label(body) == revision and not any(pod.ready for pod in seen.pods_of(index))
    ]
    return [
        _remove(
            {"kind": "StatefulSet", **body},
            Note(
                "ModelDoesNotFit",
                "Delete",
                f"Removed group {body['metadata']['name']}: its model does not fit",
            ),
        )
        for body in going
    ]


def rollout_steps(blueprint: Blueprint, seen: Snapshot) -> list[Step]:
    """The steps of the rollout that the budget allows now."""
    rollout = blueprint.spec.rollout
    wanted = Wanted(
        replicas=blueprint.spec.replicas,
        revision=blueprint.revision,
        max_surge=rollout.max_surge,
        max_unavailable=rollout.max_unavailable,
        occupied=seen.vacated(),
    )
    return next_steps(wanted, seen.groups())


def current_template(blueprint: Blueprint, seen: Snapshot, rendering: Rendering) -> Mapping[str, Any]:
    """The pod template of the blueprint's revision.

    Where a live StatefulSet has that revision already, its template stands: one rendered by this version is
    rendered again with what it records (which repairs foreign edits), one of another version is taken over as
    it is. So an upgrade of the operator changes no template.
    """
    for _, live in sorted(seen.stateful_sets.items()):
        if revision_label(live) == blueprint.revision:
            template: Mapping[str, Any] = live["spec"]["template"]
            recorded = Rendering.recorded(template)
            if recorded is None or recorded.version != rendering.version:
                return _with_annotations(template, wanted_adapters(blueprint))
            return pod_template(blueprint, recorded)
    return pod_template(blueprint, rendering)


def _with_annotations(template: Mapping[str, Any], more: Mapping[str, str]) -> Mapping[str, Any]:
    meta = template["metadata"]
    return (
        {**template, "metadata": {**meta, "annotations": {**meta.get("annotations", {}), **more}}}
        if more
        else template
    )


def _lists_of_adapters(blueprint: Blueprint, seen: Snapshot) -> list[Annotate]:
    """For running pods; those to come have it from their template."""
    wanted = wanted_adapters(blueprint)
    return [
        Annotate(
            {
                "name": pod.name,
                "namespace": blueprint.service.namespace,
                "uid": pod.uid,
                "annotations": wanted,
            },
            Note("AdaptersChanging", "Load", f"Telling pod {pod.name} which adapters to serve"),
        )
        for pod in seen.pods
        if wanted and pod.revision == blueprint.revision and not pod.stopping
        if pod.wanted_adapters != wanted[WANTED_ADAPTERS]
    ]


def _act(step: Step, blueprint: Blueprint, seen: Snapshot, template: Mapping[str, Any]) -> list[Action]:
    index, revision = step.index, blueprint.revision
    name = f"{blueprint.service.name}-{index}"
    match step.do:
        case Do.CREATE:
            note = Note(
                _cause(step, blueprint, seen), "Create", f"Created group {name} with revision {revision}"
            )
            return [Apply(stateful_set(blueprint, index, template), None, note)]
        case Do.UPDATE:
            note = Note("GroupUpdating", "Update", f"Moving group {name} to revision {revision}")
            return [Apply(stateful_set(blueprint, index, template), seen.stateful_sets[index], note)]
        case Do.RESTART:
            return [_stop(pod, blueprint) for pod in _stale_pods(seen, index)]
        case Do.REMOVE:
            note = Note(_cause(step, blueprint, seen), "Delete", f"Removed group {name}")
            return [_remove({"kind": "StatefulSet", **seen.stateful_sets[index]}, note)]


def _remove(body: Mapping[str, Any], note: Note | None = None) -> Delete:
    meta = body["metadata"]
    return Delete(body["kind"], meta["namespace"], meta["name"], meta["uid"], meta["resourceVersion"], note)


def _stale_pods(seen: Snapshot, index: int) -> list[Pod]:
    """Pods of another revision than their StatefulSet's, once its controller would replace them by the right
    one.
    """
    live = seen.stateful_sets[index]
    if not is_settled(live):
        return []
    return [p for p in seen.pods_of(index) if not p.stopping and p.revision != revision_label(live)]


def _stop(pod: Pod, blueprint: Blueprint) -> Delete:
    note = Note("PodReplacing", "Replace", f"Draining pod {pod.name} of revision {pod.revision or 'unknown'}")
    return Delete("Pod", blueprint.service.namespace, pod.name, pod.uid, pod.resource_version, note)


def _cause(step: Step, blueprint: Blueprint, seen: Snapshot) -> str:
    """Reason of the Event: why a group comes or goes."""
    live, wanted = len(seen.stateful_sets), blueprint.spec.replicas
    if step.do == Do.CREATE:
        return "GroupCreated" if not live else "ScaledUp" if live < wanted else "SurgeCreated"
    return "SurgeRemoved" if wanted < live <= wanted + blueprint.spec.rollout.max_surge else "ScaledDown"
