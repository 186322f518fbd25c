"""Pods as the kubelet and the scheduler report them, and the one reason that comes of it."""

from typing import Any

import pytest

from paddock.operator.diagnosis import creation_problem, is_ready, problem_of

READY = {"type": "Ready", "status": "True"}


def pod(status: dict[str, Any] | None = None, **meta: Any) -> dict[str, Any]:
    volumes = [{"name": "model", "image": {"reference": "localhost/models/tiny:1"}}]
    return {"metadata": {"name": "qwen3-0-0", **meta}, "spec": {"volumes": volumes}, "status": status or {}}


def waiting(reason: str, message: str = "", **container: Any) -> dict[str, Any]:
    state = {"waiting": {"reason": reason, "message": message}}
    return {"containerStatuses": [{"image": "localhost/server:1", "state": state, **container}]}


def ended(restarts: int = 2, **terminated: Any) -> dict[str, Any]:
    return waiting("CrashLoopBackOff", restartCount=restarts, lastState={"terminated": terminated})


def unscheduled(message: str) -> dict[str, Any]:
    return {"conditions": [{"type": "PodScheduled", "status": "False", "message": message}]}


@pytest.mark.parametrize(
    ("status", "reason", "said"),
    [
        (
            unscheduled("0/2 nodes are available: 2 Insufficient nvidia.com/gpu."),
            "Unschedulable",
            "nvidia.com/gpu",
        ),
        (unscheduled('persistentvolumeclaim "w" not found'), "VolumeClaimMissing", '"w"'),
        (
            waiting("ImagePullBackOff", 'Back-off pulling image "localhost/server:1"'),
            "ImagePullFailed",
            "server:1",
        ),
        (
            waiting("ErrImagePull", 'no such image "localhost/models/tiny:1"'),
            "ModelPullFailed",
            "models/tiny",
        ),
        (waiting("CreateContainerConfigError", 'secret "keys" not found'), "SecretMissing", '"keys"'),
        (waiting("CreateContainerConfigError", 'configmap "c" not found'), "ConfigMapMissing", '"c"'),
        (
            waiting("CreateContainerConfigError", "failed to create subPath directory"),
            "ModelFolderMissing",
            "subPath",
        ),
        (waiting("CreateContainerConfigError", ""), "ContainerConfigInvalid", "invalid"),
        (waiting("RunContainerError", "exec: paddock: not found"), "ContainerStartFailed", "exec"),
        (ended(exitCode=137, reason="OOMKilled"), "OutOfMemory", "memory"),
        (
            ended(exitCode=3, reason="Error", message="INFO x\nerror: no such port"),
            "Crashing",
            "no such port",
        ),
        (
            ended(exitCode=1, message="error: /models/model/model.safetensors is cut"),
            "ModelLoadFailed",
            "safetensors",
        ),
        (ended(5, exitCode=1), "Crashing", "exit code 1, restarted 5 times"),
        (ended(0, exitCode=139), "Crashing", "exit code 139 (SIGSEGV)"),
        ({"phase": "Failed", "reason": "Evicted", "message": "low on memory"}, "Evicted", "low on memory"),
    ],
)
def test_each_fault_has_its_reason_and_names_its_cause(
    status: dict[str, Any], reason: str, said: str
) -> None:
    problem = problem_of(pod(status))
    assert problem is not None
    assert problem.reason == reason
    assert said in problem.message
    assert problem.message.startswith("qwen3-0-0: ")


@pytest.mark.parametrize(
    ("note", "reason"),
    [
        ("hostPath type check failed: /models/x is not a directory", "HostPathMissing"),
        ('MountVolume.SetUp failed for volume "s" : secret "k" not found', "SecretMissing"),
        ('MountVolume.SetUp failed for volume "c" : configmap "k" not found', "ConfigMapMissing"),
        ('MountVolume.MountDevice failed for volume "pv"', "MountFailed"),
    ],
)
def test_a_volume_that_cannot_be_mounted_shows_in_events_only(note: str, reason: str) -> None:
    status = waiting("ContainerCreating")
    assert problem_of(pod(status)) is None
    problem = problem_of(pod(status), (note,))
    assert problem is not None
    assert problem.reason == reason


def test_a_pod_that_just_starts_has_no_problem() -> None:
    running = {"phase": "Running", "containerStatuses": [{"state": {"running": {}}, "restartCount": 0}]}
    assert problem_of(pod(running)) is None
    assert problem_of(pod()) is None


def test_a_ready_pod_has_no_problem_whatever_happened_before() -> None:
    status = {"conditions": [READY], **ended(exitCode=1)}
    assert problem_of(pod(status)) is None


def test_a_stopping_pod_is_neither_ready_nor_a_problem() -> None:
    body = pod({"conditions": [READY]}, deletionTimestamp="2026-01-01T00:00:00Z")
    assert not is_ready(body)
    assert problem_of(body) is None


def test_a_long_log_is_cut_to_its_end() -> None:
    log = "\n".join(f"line {number} {'x' * 300}" for number in range(50)) + "\nerror: the cause"
    problem = problem_of(pod(ended(exitCode=1, message=log)))
    assert problem is not None
    assert problem.message.endswith("error: the cause")
    assert len(problem.message) < 600


FAULT = "/models/model/model.safetensors: is corrupt or cut short; download or copy the checkpoint again."
CRASH = f"""\
2026-11-21 15:16:05,203 INFO paddock.server: arguments: model=/models/model
2026-11-21 15:16:13,820 ERROR paddock.server.engine: engine failed: {FAULT}
paddock serve: {FAULT}
"""


@pytest.mark.parametrize(
    ("log", "said"),
    [
        (CRASH, FAULT),
        (
            "2026-11-21 15:16:13,820 ERROR paddock.engine.follower: node 1 ends: out of luck\n",
            "node 1 ends: out of luck",
        ),
        ("ValueError: first\n2026-11-21 15:16:13,820 INFO paddock.server: stopped\n", "ValueError: first"),
        ("2026-11-21 15:16:13,820 INFO paddock.server: stopped\n", "stopped"),
        (f"{'x' * 500}", "x" * 399 + "…"),
    ],
)
def test_the_last_line_that_tells_something_is_told_once_and_bare(log: str, said: str) -> None:
    status = ended(1, exitCode=1, message=log)
    status["containerStatuses"][0]["state"]["waiting"]["message"] = (
        "back-off 20s restarting failed container=server pod=qwen3-0-0_models(1)"
    )
    problem = problem_of(pod(status))
    assert problem is not None
    assert problem.message == f"qwen3-0-0: exit code 1, restarted once, next start within 20s: {said}"


def test_a_refused_pod_shows_in_the_events_of_its_stateful_set() -> None:
    note = 'create Pod q-0-0 in StatefulSet q-0 failed error: pods "q-0-0" is forbidden: exceeded quota'
    problem = creation_problem("q-0", ("something else", note))
    assert problem is not None
    assert problem.reason == "PodRefused"
    assert "exceeded quota" in problem.message
    assert creation_problem("q-0", ()) is None
