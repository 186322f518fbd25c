"""Why a pod does not serve: one reason and one sentence out of its status and its warnings. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from paddock.operator.resource import MODEL_PATH

Body = Mapping[str, Any]

_PULL = {
    "ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError",
    "RegistryUnavailable", "SignatureValidationFailed",
}  # fmt: skip
_START = {"CreateContainerError", "RunContainerError", "StartError", "PostStartHookError"}
_LOG_CHARACTERS = 400


@dataclass(frozen=True)
class Problem:
    """`reason`: one CamelCase word; `message`: which object, what is wrong. `of_model`: the model's source is
    at fault.
    """

    reason: str
    message: str
    of_model: bool = False


def problem_of(pod: Body, warnings: Sequence[str] = ()) -> Problem | None:
    """The problem of a pod that should serve and does not; None while it is ready, stopping, or simply
    starting.

    `warnings` are the notes of the pod's Warning events, newest first: a volume that cannot be mounted shows
    nowhere else.
    """
    status = pod.get("status") or {}
    if "deletionTimestamp" in pod["metadata"] or is_ready(pod):
        return None
    name = pod["metadata"]["name"]
    if status.get("phase") == "Failed" and not status.get("containerStatuses"):
        return Problem(
            status.get("reason") or "PodFailed", _sentence(name, status.get("message") or "failed")
        )
    return (
        _scheduling(name, status)
        or _container(pod, name, status.get("containerStatuses") or [])
        or _mount(name, warnings)
    )


def creation_problem(owner: str, warnings: Sequence[str]) -> Problem | None:
    """Why a StatefulSet has no pod: quota, Pod Security, a missing ServiceAccount."""
    refused = [note for note in warnings if "create pod" in note.lower()]
    return Problem("PodRefused", _sentence(f"StatefulSet {owner}", refused[0])) if refused else None


def is_ready(pod: Body) -> bool:
    """Ready, and not told to stop."""
    conditions = (pod.get("status") or {}).get("conditions") or ()
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
    return ready and "deletionTimestamp" not in pod["metadata"]


def _scheduling(name: str, status: Body) -> Problem | None:
    for condition in status.get("conditions") or ():
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            message = condition.get("message") or "waits for the scheduler"
            if "persistentvolumeclaim" in message and "not found" in message:
                return Problem("VolumeClaimMissing", _sentence(name, message), of_model=True)
            return Problem("Unschedulable", _sentence(name, message))
    return None


def _container(pod: Body, name: str, statuses: Iterable[Body]) -> Problem | None:
    for container in statuses:
        waiting = container.get("state", {}).get("waiting") or {}
        reason, message = waiting.get("reason", ""), waiting.get("message", "")
        if reason in _PULL:
            return _pull(pod, name, container, message or reason)
        if reason == "CreateContainerConfigError":
            return _configuration(name, message)
        if reason in _START:
            return Problem("ContainerStartFailed", _sentence(name, message or reason))
        ended = container.get("state", {}).get("terminated") or container.get("lastState", {}).get(
            "terminated"
        )
        if ended:
            return _crash(name, container.get("restartCount", 0), ended)
    return None


def _pull(pod: Body, name: str, container: Body, message: str) -> Problem:
    references = [
        volume["image"]["reference"] for volume in pod["spec"].get("volumes", ()) if "image" in volume
    ]
    of_model = (
        any(reference in message for reference in references) and container.get("image", "") not in message
    )
    return Problem("ModelPullFailed" if of_model else "ImagePullFailed", _sentence(name, message), of_model)


def _configuration(name: str, message: str) -> Problem:
    lowered = message.lower()
    if "secret" in lowered:
        return Problem("SecretMissing", _sentence(name, message))
    if "configmap" in lowered:
        return Problem("ConfigMapMissing", _sentence(name, message))
    if "subpath" in lowered:
        return Problem("ModelFolderMissing", _sentence(name, message), of_model=True)
    return Problem(
        "ContainerConfigInvalid", _sentence(name, message or "the container's configuration is invalid")
    )


def _crash(name: str, restarts: int, ended: Body) -> Problem:
    how = f"exit code {ended.get('exitCode')}, restarted {restarts} times"
    if ended.get("reason") == "OOMKilled":
        return Problem("OutOfMemory", _sentence(name, f"killed for using more memory than its limit ({how})"))
    last_words = _last_lines(ended.get("message", ""))
    # The server names the file it could not load; what it says of other things does not hold this path.
    of_model = MODEL_PATH in last_words
    sentence = _sentence(name, f"{how}{': ' + last_words if last_words else ''}")
    return Problem("ModelLoadFailed" if of_model else "Crashing", sentence, of_model)


def _mount(name: str, warnings: Sequence[str]) -> Problem | None:
    for note in warnings:
        if "hostPath type check failed" in note:
            return Problem("HostPathMissing", _sentence(name, note), of_model=True)
        if re.search(r'secret "[^"]*" not found', note):
            return Problem("SecretMissing", _sentence(name, note))
        if re.search(r'configmap "[^"]*" not found', note):
            return Problem("ConfigMapMissing", _sentence(name, note))
        if "MountVolume" in note or "Unable to attach or mount" in note:
            return Problem("MountFailed", _sentence(name, note))
    return None


def _last_lines(text: str) -> str:
    """The end of a log, in one line and cut to a readable length."""
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    return " | ".join(lines[-3:])[-_LOG_CHARACTERS:]


def _sentence(subject: str, text: str) -> str:
    return f"{subject}: {' '.join(text.split())}"[:1000]
