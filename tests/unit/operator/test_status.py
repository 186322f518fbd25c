"""Conditions for every state that a user may look at."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from paddock.operator.diagnosis import Problem
from paddock.operator.plan.blueprint import Blueprint
from paddock.operator.plan.host_paths import HostPathPolicy
from paddock.operator.plan.refusal import Refusal
from paddock.operator.snapshot import Pod, Snapshot
from paddock.operator.status import status, transitions

Blueprints = Callable[..., Blueprint]
Sets = Callable[..., dict[str, Any]]
Pods = Callable[..., Pod]
NOW, LATER = "2026-01-01T00:00:00Z", "2026-01-01T00:05:00Z"


def conditions(written: dict[str, Any]) -> dict[str, str]:
    return {c["type"]: f"{c['status']}/{c['reason']}" for c in written["conditions"]}


@pytest.fixture
def serving(make_blueprint: Blueprints, live_set: Sets, make_pod: Pods) -> tuple[Blueprint, Snapshot]:
    """Two groups that serve."""
    blueprint = make_blueprint(replicas=2)
    sets = {index: live_set(blueprint, index) for index in (0, 1)}
    pods = tuple(make_pod(index, blueprint.revision) for index in (0, 1))
    return blueprint, Snapshot(blueprint.service, sets, pods, ready_endpoints=2)


def test_a_new_service_is_accepted_and_progressing(make_blueprint: Blueprints) -> None:
    blueprint = make_blueprint(replicas=2)
    written = status(Snapshot(blueprint.service), blueprint, NOW)
    assert conditions(written) == {
        "Accepted": "True/Accepted",
        "ModelReady": "Unknown/Loading",
        "Progressing": "True/Scaling",
        "Available": "False/NoReplicaReady",
        "Degraded": "False/AsExpected",
    }
    assert written["ready"] == "0/2"
    assert written["observedGeneration"] == 1


def test_a_download_under_way_is_told_with_its_figures(make_blueprint: Blueprints) -> None:
    blueprint = make_blueprint()
    seen = Snapshot(blueprint.service, downloads={"qwen3-0-0": "downloading: 1.2 GB of 3.4 GB (35 %)"})

    written = status(seen, blueprint, NOW)

    assert conditions(written)["ModelReady"] == "Unknown/Downloading"
    assert "qwen3-0-0: downloading: 1.2 GB of 3.4 GB (35 %)" in [c["message"] for c in written["conditions"]]


def test_a_serving_service_is_settled(serving: tuple[Blueprint, Snapshot]) -> None:
    blueprint, seen = serving
    written = status(seen, blueprint, NOW)
    assert conditions(written) == {
        "Accepted": "True/Accepted",
        "ModelReady": "True/Loaded",
        "Progressing": "False/UpToDate",
        "Available": "True/Serving",
        "Degraded": "False/AsExpected",
    }
    assert (written["replicas"], written["readyReplicas"], written["updatedReplicas"]) == (2, 2, 2)
    assert written["selector"] == "apps.kubernetes.io/pod-index=0,paddock.dev/service=qwen3"
    assert written["url"] == "http://qwen3.models.svc"


def test_ready_pods_without_endpoints_are_not_available(
    make_blueprint: Blueprints, live_set: Sets, make_pod: Pods
) -> None:
    blueprint = make_blueprint(replicas=1)
    seen = Snapshot(blueprint.service, {0: live_set(blueprint, 0)}, (make_pod(0, blueprint.revision),))
    assert conditions(status(seen, blueprint, NOW))["Available"] == "False/NoEndpoints"


def test_endpoints_without_a_whole_group_are_not_available(
    make_blueprint: Blueprints, live_set: Sets
) -> None:
    blueprint = make_blueprint(replicas=1)
    seen = Snapshot(blueprint.service, {0: live_set(blueprint, 0)}, ready_endpoints=1)
    assert conditions(status(seen, blueprint, NOW))["Available"] == "False/NoReplicaReady"


def test_a_refused_spec_leaves_what_serves_available(serving: tuple[Blueprint, Snapshot]) -> None:
    _, seen = serving
    written = status(seen, Refusal("InvalidSpec", "spec.cache.x: must be y"), NOW)
    assert conditions(written)["Accepted"] == "False/InvalidSpec"
    assert conditions(written)["Available"] == "True/Serving"
    assert conditions(written)["Progressing"] == "False/NotAccepted"


def test_a_broken_group_blocks_and_is_named(
    make_blueprint: Blueprints, live_set: Sets, make_pod: Pods
) -> None:
    blueprint = make_blueprint(replicas=1)
    problem = Problem("SecretMissing", 'qwen3-0-0: secret "keys" not found')
    pods = (make_pod(0, blueprint.revision, ready=False, problem=problem),)
    written = status(Snapshot(blueprint.service, {0: live_set(blueprint, 0)}, pods), blueprint, NOW)
    assert conditions(written)["Progressing"] == "False/Blocked"
    assert conditions(written)["Degraded"] == "True/SecretMissing"
    assert all(
        '"keys"' in c["message"] for c in written["conditions"] if c["type"] in ("Available", "Degraded")
    )


def test_a_missing_claim_is_said_before_the_scheduler_says_it(make_blueprint: Blueprints) -> None:
    blueprint = make_blueprint(model={"uri": "pvc://weights/qwen3"})
    written = status(Snapshot(blueprint.service, missing_claim="weights"), blueprint, NOW)
    assert conditions(written)["ModelReady"] == "False/VolumeClaimMissing"
    assert conditions(written)["Degraded"] == "True/VolumeClaimMissing"


def test_zero_replicas_are_settled_and_unavailable(make_blueprint: Blueprints) -> None:
    blueprint = make_blueprint(replicas=0)
    found = conditions(status(Snapshot(blueprint.service), blueprint, NOW))
    assert found["Available"] == "False/ScaledToZero"
    assert found["Progressing"] == "False/UpToDate"
    assert found["Degraded"] == "False/AsExpected"


def test_a_rollout_says_how_far_it_is(make_blueprint: Blueprints, live_set: Sets, make_pod: Pods) -> None:
    old, new = make_blueprint(replicas=2), make_blueprint(replicas=2, cache={"gpuMemoryUtilization": 0.4})
    sets = {0: live_set(new, 0), 1: live_set(old, 1)}
    pods = (make_pod(0, new.revision, ready=False), make_pod(1, old.revision))
    written = status(Snapshot(new.service, sets, pods, ready_endpoints=1), new, NOW)
    assert conditions(written)["Progressing"] == "True/RollingOut"
    assert conditions(written)["Available"] == "True/Serving"
    assert conditions(written)["ModelReady"] == "Unknown/Loading"
    assert written["updatedReplicas"] == 1


def test_a_transition_time_moves_only_with_the_status(
    serving: tuple[Blueprint, Snapshot], make_service: Callable[..., Any]
) -> None:
    blueprint, seen = serving
    before = status(Snapshot(blueprint.service), blueprint, NOW)
    service = make_service(status=before, replicas=2)
    after = status(
        Snapshot(service, seen.stateful_sets, seen.pods, ready_endpoints=2),
        Blueprint.of(service, HostPathPolicy(True, ("/models",))),
        LATER,
    )
    times = {c["type"]: c["lastTransitionTime"] for c in after["conditions"]}
    assert times["Accepted"] == NOW
    assert times["Degraded"] == NOW
    assert times["Available"] == LATER


def test_events_tell_of_refusal_availability_trouble_and_recovery(
    serving: tuple[Blueprint, Snapshot],
) -> None:
    blueprint, seen = serving
    fresh = status(Snapshot(blueprint.service), blueprint, NOW)
    good = status(seen, blueprint, NOW)
    refused = status(seen, Refusal("InvalidSpec", "no"), NOW)
    assert [note.reason for note in transitions({}, fresh)] == []
    assert [note.reason for note in transitions(fresh, good)] == ["Available"]
    assert [(note.reason, note.warning) for note in transitions(good, refused)] == [("InvalidSpec", True)]
    assert [note.reason for note in transitions(refused, good)] == ["Accepted"]
    assert [note.reason for note in transitions(good, fresh)] == ["Unavailable"]
    assert transitions(good, good) == []


def test_the_configuration_is_shown_and_stays_while_a_later_spec_is_refused(
    serving: tuple[Blueprint, Snapshot], make_service: Callable[..., Any]
) -> None:
    blueprint, seen = serving
    written = status(seen, blueprint, NOW)
    assert [setting["argument"] for setting in written["configuration"]] == ["model", "served-model-name"]
    refused = Snapshot(make_service(status=written))
    assert status(refused, Refusal("InvalidSpec", "no"), LATER)["configuration"] == written["configuration"]


def test_the_same_state_writes_the_same_status(serving: tuple[Blueprint, Snapshot]) -> None:
    blueprint, seen = serving
    written = status(seen, blueprint, NOW)
    service = dataclasses.replace(seen.service, status=written)
    again = Blueprint.of(service, HostPathPolicy(True, ("/models",)))
    assert status(dataclasses.replace(seen, service=service), again, LATER) == written


def test_the_pod_that_failed_first_hand_is_named_and_not_those_that_followed(
    make_blueprint: Blueprints, live_set: Sets, make_pod: Pods
) -> None:
    blueprint = make_blueprint(replicas=1, nodes=3, parallel={"pipelineParallelSize": 3})
    told = (
        Problem("Crashing", "qwen3-0-0: the group is lost: node 2 has ended"),
        Problem("Crashing", "qwen3-0-1: node 1 ends: the leader has stopped", is_echo=True),
        Problem("OutOfMemory", "qwen3-0-2: killed for using more memory than its limit"),
    )
    pods = tuple(
        make_pod(0, blueprint.revision, name=f"qwen3-0-{rank}", ready=False, problem=problem)
        for rank, problem in enumerate(told)
    )
    written = status(Snapshot(blueprint.service, {0: live_set(blueprint, 0)}, pods), blueprint, NOW)
    degraded = {c["type"]: c for c in written["conditions"]}["Degraded"]
    assert degraded["reason"] == "OutOfMemory"
    assert degraded["message"] == f"{told[2].message}; {told[0].message}"


def test_an_echo_is_told_while_nothing_else_is_known(make_blueprint: Blueprints, make_pod: Pods) -> None:
    echo = Problem("Crashing", "qwen3-0-1: node 1 ends: the leader has stopped", is_echo=True)
    pods = (make_pod(0, "r"), make_pod(0, "r", name="qwen3-0-1", ready=False, problem=echo))
    assert Snapshot(make_blueprint().service, pods=pods).problems() == [echo]


def test_a_pod_that_answers_by_itself_keeps_the_service_available(
    make_blueprint: Blueprints, live_set: Sets, make_pod: Pods
) -> None:
    blueprint = make_blueprint(
        replicas=1,
        parallel={"dataParallelSize": 2, "dataParallelSizeLocal": 1, "dataParallelHybridLb": True},
    )
    pods = tuple(
        make_pod(0, blueprint.revision, name=f"qwen3-0-{rank}", ready=not rank, answers_alone=True)
        for rank in (0, 1)
    )
    seen = Snapshot(blueprint.service, {0: live_set(blueprint, 0)}, pods, ready_endpoints=1)
    written = status(seen, blueprint, NOW)
    available = {c["type"]: c for c in written["conditions"]}["Available"]
    assert (available["status"], available["reason"]) == ("True", "ServingInPart")
    assert available["message"].startswith("1 of 2 pods can answer at http://qwen3.models.svc/v1")
