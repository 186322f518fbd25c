"""From what lives to what is done: which objects are applied, which are deleted, and with what preconditions."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from paddock.operator.plan.actions import Action, Apply, Delete, plan
from paddock.operator.plan.blueprint import Blueprint
from paddock.operator.plan.network_policy import Isolation
from paddock.operator.plan.revision import REVISION, Rendering
from paddock.operator.snapshot import Pod, Snapshot

Blueprints = Callable[..., Blueprint]
Sets = Callable[..., dict[str, Any]]
Pods = Callable[..., Pod]


def names(actions: list[Action]) -> list[str]:
    return [
        f"delete {a.name}"
        if isinstance(a, Delete)
        else f"apply {a.manifest['kind']} {a.manifest['metadata']['name']}"
        for a in actions
    ]


def test_companions_come_before_the_groups(make_blueprint: Blueprints, rendering: Rendering) -> None:
    blueprint = make_blueprint(replicas=1)
    assert names(plan(blueprint, Snapshot(blueprint.service), rendering)) == [
        "apply ServiceAccount qwen3-pods",
        "apply Service qwen3-pods",
        "apply Service qwen3",
        "apply NetworkPolicy qwen3",
        "apply PodDisruptionBudget qwen3-pods",
        "apply StatefulSet qwen3-0",
    ]


def test_an_outdated_group_is_left_alone_until_its_turn(
    make_blueprint: Blueprints, live_set: Sets, make_pod: Pods, rendering: Rendering
) -> None:
    old, new = make_blueprint(), make_blueprint(cache={"gpuMemoryUtilization": 0.4})
    seen = Snapshot(
        new.service,
        {0: live_set(old, 0), 1: live_set(old, 1)},
        (make_pod(0, old.revision), make_pod(1, old.revision)),
    )
    actions = plan(new, seen, rendering)
    assert names(actions)[-2:] == ["apply PodDisruptionBudget qwen3-pods", "apply StatefulSet qwen3-0"]
    assert isinstance(actions[-1], Apply)
    assert actions[-1].manifest["spec"]["template"]["metadata"]["labels"][REVISION] == new.revision
    assert actions[-1].note is not None


def test_old_pods_go_only_when_the_controller_has_seen_the_new_template(
    make_blueprint: Blueprints, live_set: Sets, make_pod: Pods, rendering: Rendering
) -> None:
    blueprint = make_blueprint(replicas=1)
    live = live_set(blueprint, 0)
    seen = Snapshot(blueprint.service, {0: live}, (make_pod(0, "old"),))
    assert plan(blueprint, seen, rendering)[-1] == Delete(
        "Pod", "models", "qwen3-0-0", "pod-0", "9", plan(blueprint, seen, rendering)[-1].note
    )
    unsettled = {**live, "status": {"observedGeneration": 2}}
    waiting = dataclasses.replace(seen, stateful_sets={0: unsettled})
    assert "delete" not in " ".join(names(plan(blueprint, waiting, rendering)))


def test_a_pod_that_stops_already_is_not_deleted_again(
    make_blueprint: Blueprints, live_set: Sets, make_pod: Pods, rendering: Rendering
) -> None:
    blueprint = make_blueprint(replicas=1)
    pods = (make_pod(0, "old", stopping=True, ready=False),)
    actions = plan(blueprint, Snapshot(blueprint.service, {0: live_set(blueprint, 0)}, pods), rendering)
    assert "delete" not in " ".join(names(actions))


def test_a_removed_group_is_the_one_that_was_seen(
    make_blueprint: Blueprints, live_set: Sets, make_pod: Pods, rendering: Rendering
) -> None:
    blueprint = make_blueprint(replicas=0)
    seen = Snapshot(blueprint.service, {0: live_set(blueprint, 0)}, (make_pod(0, blueprint.revision),))
    removal = plan(blueprint, seen, rendering)[-1]
    assert isinstance(removal, Delete)
    assert (removal.kind, removal.name, removal.uid, removal.resource_version) == (
        "StatefulSet", "qwen3-0", "set-0", "7",
    )  # fmt: skip
    assert removal.note is not None
    assert removal.note.reason == "ScaledDown"


def test_an_index_is_not_reused_while_its_former_pods_stop(
    make_blueprint: Blueprints, live_set: Sets, make_pod: Pods, rendering: Rendering
) -> None:
    blueprint = make_blueprint(replicas=2)
    pods = (make_pod(0, blueprint.revision), make_pod(1, blueprint.revision, stopping=True, ready=False))
    seen = Snapshot(blueprint.service, {0: live_set(blueprint, 0)}, pods, leaving=frozenset({2}))
    assert names(plan(blueprint, seen, rendering))[-1] == "apply StatefulSet qwen3-3"


def test_a_pod_whose_set_went_without_it_serves_until_another_does(
    make_blueprint: Blueprints, live_set: Sets, make_pod: Pods, rendering: Rendering
) -> None:
    blueprint = make_blueprint(replicas=1)
    left = dataclasses.replace(make_pod(0, blueprint.revision), controlled=False)
    sets = {1: live_set(blueprint, 1)}
    for ready in (False, True):
        pods = (left, make_pod(1, blueprint.revision, ready=ready))
        done = names(plan(blueprint, Snapshot(blueprint.service, sets, pods), rendering))
        assert ("delete qwen3-0-0" in done) is ready


def test_a_companion_that_is_no_longer_asked_for_is_removed(
    make_blueprint: Blueprints, rendering: Rendering
) -> None:
    blueprint = make_blueprint(replicas=0, template={"serviceAccountName": "theirs"})
    account = {"kind": "ServiceAccount", "metadata": {
        "name": "qwen3-pods", "namespace": "models", "uid": "sa-1", "resourceVersion": "5",
    }}  # fmt: skip
    seen = Snapshot(blueprint.service, companions={("ServiceAccount", "qwen3-pods"): account})
    assert plan(blueprint, seen, rendering)[-1] == Delete(
        "ServiceAccount", "models", "qwen3-pods", "sa-1", "5"
    )


def live_policy(manifest: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    return {
        **manifest,
        "metadata": {**manifest["metadata"], "name": name, "uid": "u", "resourceVersion": "1"},
    }


def test_without_network_policies_those_that_live_go_also_one_that_an_earlier_version_wrote(
    make_blueprint: Blueprints, rendering: Rendering
) -> None:
    blueprint = make_blueprint(replicas=0)
    [policy] = [
        action.manifest for action in plan(blueprint, Snapshot(blueprint.service), rendering)
        if isinstance(action, Apply) and action.manifest["kind"] == "NetworkPolicy"
    ]  # fmt: skip
    live = {("NetworkPolicy", name): live_policy(policy, name) for name in ("qwen3", "qwen3-pods")}
    seen = Snapshot(blueprint.service, companions=live)

    switched_off = names(plan(blueprint, seen, rendering, Isolation(enabled=False)))
    as_usual = names(plan(blueprint, seen, rendering))

    assert switched_off[-2:] == ["delete qwen3", "delete qwen3-pods"]
    assert "apply NetworkPolicy qwen3" in as_usual
    assert as_usual[-1] == "delete qwen3-pods"
