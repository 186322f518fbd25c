"""Why a pod does not serve: one reason and one sentence out of its status and its warnings. Pure."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from paddock.operator.resource import DOWNLOAD_CONTAINER, MODEL_PATH

Body = Mapping[str, Any]

_PULL = {
    "ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError",
    "RegistryUnavailable", "SignatureValidationFailed",
}  # fmt: skip
_START = {"CreateContainerError", "RunContainerError", "StartError", "PostStartHookError"}
_LOG_CHARACTERS = 400
_LOG_HEAD = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d+ (?P<level>[A-Z]+) [\w.]+: ")
_COMMAND_HEAD = re.compile(r"^paddock (serve|fetch): ")
_ECHO = "the leader has stopped"
_BACK_OFF = re.compile(r"back-off (\S+) restarting")
_SIGNALS = {each.value: each.name for each in signal.Signals}


@dataclass(frozen=True)
class Problem:
    """`reason`: one CamelCase word; `message`: which object, what is wrong. `of_model`: the model's source is
    at fault. `is_echo`: the pod ended because another of its group did, and says no more.
    """

    reason: str
    message: str
    of_model: bool = False
    is_echo: bool = False


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
        or _download(pod, name, status.get("initContainerStatuses") or [])
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


def is_downloading(pod: Body) -> bool:
    """Whether its init container fetches the model now."""
    statuses = (pod.get("status") or {}).get("initContainerStatuses") or ()
    return any("running" in each.get("state", {}) for each in statuses if each["name"] == DOWNLOAD_CONTAINER)


def _download(pod: Body, name: str, statuses: Iterable[Body]) -> Problem | None:
    """That of the init container, until it has done its work; an earlier failure stays known while it tries again."""
    going_on = [each for each in statuses if each.get("state", {}).get("terminated", {}).get("exitCode") != 0]
    problem = _container(pod, name, going_on)
    if problem is not None and problem.reason in ("Crashing", "ModelLoadFailed"):
        return replace(problem, reason="ModelDownloadFailed", of_model=True)
    return problem


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
            return _crash(name, _course(container.get("restartCount", 0), message), ended)
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


def _course(restarts: int, waiting: str) -> str:
    """How often it was tried, and when it is next: `waiting` is the kubelet's word on that."""
    pause = _BACK_OFF.search(waiting)
    tried = "" if not restarts else ", restarted once" if restarts == 1 else f", restarted {restarts} times"
    return tried + (f", next start within {pause[1]}" if pause else "")


def _crash(name: str, course: str, ended: Body) -> Problem:
    code = ended.get("exitCode", 0)
    signalled = f" ({_SIGNALS[code - 128]})" if code - 128 in _SIGNALS else ""
    how = f"exit code {code}{signalled}{course}"
    if ended.get("reason") == "OOMKilled":
        return Problem("OutOfMemory", _sentence(name, f"killed for using more memory than its limit ({how})"))
    last_words = _last_words(ended.get("message", ""))
    # The server names the file it could not load; what it says of other things does not hold this path.
    of_model = MODEL_PATH in last_words
    sentence = _sentence(name, f"{how}{': ' + last_words if last_words else ''}")
    return Problem(
        "ModelLoadFailed" if of_model else "Crashing", sentence, of_model, is_echo=last_words.endswith(_ECHO)
    )


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


def _last_words(log: str) -> str:
    """Why the process ended, by the end of its log: the last line that tells of no progress, without its time,
    level and logger, cut to a readable length.
    """
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    heads = [_LOG_HEAD.match(line) for line in lines]
    telling = [i for i, head in enumerate(heads) if head is None or head["level"] in ("ERROR", "CRITICAL")]
    if not lines:
        return ""
    chosen = telling[-1] if telling else -1
    head = heads[chosen]
    words = _COMMAND_HEAD.sub("", lines[chosen][head.end() if head else 0 :])
    return words if len(words) <= _LOG_CHARACTERS else words[: _LOG_CHARACTERS - 1] + "…"


def _sentence(subject: str, text: str) -> str:
    return f"{subject}: {' '.join(text.split())}"[:1000]
