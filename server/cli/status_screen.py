"""The screen of `paddock status`: a pure function of the InferenceService, its pods and their last log lines."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from paddock.server.cli.status_plan import group_lines, is_ready, plan_line

Body = Mapping[str, Any]

_LINE_CHARACTERS = 160
_ADVICE = {
    "InvalidSpec": "correct the named fields and apply again; `paddock manifest --check FILE` checks a file",
    "InvalidModelSource": "correct spec.model.uri and apply again",
    "DoesNotFit": "take more ranks or larger devices, or a shorter context, as the message counts, and apply again",
    "NameTaken": "delete or rename the object that holds the name, or name the service otherwise",
    "KedaMissing": "install KEDA and set keda.enabled in the operator's chart, or choose another provider",
    "Unschedulable": "free or add nodes, or ask for less in spec.template (resources, nodeSelector, accelerator)",
    "PodRefused": "make spec.template fit the namespace's quota and Pod Security, or let the namespace allow more",
    "ImagePullFailed": "check the image's name and spec.template.imagePullSecrets",
    "ModelPullFailed": "check the image in spec.model.uri and spec.template.imagePullSecrets",
    "SecretMissing": "create the named Secret with that key in the same namespace; pods start by themselves then",
    "ConfigMapMissing": "create the named ConfigMap in the same namespace; pods start by themselves then",
    "VolumeClaimMissing": "create the named PersistentVolumeClaim in the same namespace",
    "ModelDownloadFailed": "correct spec.model.uri and spec.model.source as the message says; it is tried again by itself",
    "ModelFolderMissing": "correct the folder in spec.model.uri, or put the model there",
    "HostPathMissing": "put the model on that node, or correct spec.model.uri",
    "MountFailed": "look at the volume: kubectl describe pod",
    "OutOfMemory": "raise spec.template.resources.limits.memory, or lower spec.cache and spec.scheduler.maxNumSeqs",
    "ModelLoadFailed": "mend the model's files or the arguments that the message names, or apply the previous manifest",
    "Crashing": "read the message and `kubectl logs --previous`; apply the previous manifest to go back",
    "ContainerStartFailed": "check spec.template.image",
    "ContainerConfigInvalid": "correct spec.template: env, volumes and volumeMounts",
    "ScaledToZero": "raise spec.replicas to serve",
}


def is_fine(resource: Body) -> bool:
    """Whether it serves exactly what the present spec asks for."""
    states = {kind: _condition(resource, kind)["status"] for kind in ("Accepted", "Available", "Degraded")}
    settled = _condition(resource, "Progressing")["status"] == "False"
    return _is_current(resource) and settled and [*states.values()] == ["True", "True", "False"]


def is_waiting(pod: Body) -> bool:
    """Whether its container runs and does not answer yet, so that its log tells how far it is."""
    return "deletionTimestamp" not in pod["metadata"] and not is_ready(pod) and "running" in _state(pod)


def is_downloading(pod: Body) -> bool:
    """Whether its init container fetches the model."""
    statuses = (pod.get("status") or {}).get("initContainerStatuses") or ()
    return "deletionTimestamp" not in pod["metadata"] and any(
        "running" in each.get("state", {}) for each in statuses
    )


def screen(resource: Body, pods: Sequence[Body], last_lines: Mapping[str, str], now: datetime) -> str:
    """The text. `last_lines`: of the logs of pods that load, by pod."""
    meta, spec, status = resource["metadata"], resource["spec"], resource.get("status") or {}
    settings = [
        f"{each['argument']}={each['value']}"
        for each in status.get("configuration") or ()
        if each["argument"] != "model"
    ]
    ready = f"{status.get('ready', '?')} replicas ready, {_age(meta, now)} old"
    head = [
        f"{meta['name']} in {meta['namespace']}: {_verdict(resource)}, {ready}",
        f"  url        {status.get('url', 'none yet')}",
        f"  model      {spec['model']['uri']}",
        f"  plan       {plan_line(status.get('plan') or {})}",
        f"  arguments  {_cut(', '.join(settings)) or 'all at their defaults'}",
    ]
    groups = group_lines(pods, status.get("plan") or {})
    below = [*groups, *([""] if groups else []), *_pod_lines(pods, last_lines, now), "", *_findings(resource)]
    return "\n".join([*head, "", *below, ""])


def _verdict(resource: Body) -> str:
    if not resource.get("status"):
        return "not seen by an operator yet"
    available = _condition(resource, "Available")
    serving = "serving" if available["status"] == "True" else f"not serving ({available['reason']})"
    return serving if _is_current(resource) else f"{serving}, the last change is not taken up yet"


def _pod_lines(pods: Sequence[Body], last_lines: Mapping[str, str], now: datetime) -> list[str]:
    rows = [("POD", "NODE", "AGE", "RESTARTS", "STATE")]
    for pod in sorted(pods, key=lambda pod: str(pod["metadata"]["name"])):
        name = pod["metadata"]["name"]
        restarts = sum(each.get("restartCount", 0) for each in _containers(pod))
        node = pod["spec"].get("nodeName", "-")
        line = last_lines.get(name)
        rows.append((name, node, _age(pod["metadata"], now), str(restarts), _what_it_does(pod, line)))
    if len(rows) == 1:
        return ["no pods"]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return ["  ".join([*map(str.ljust, row[:4], widths), row[4]]) for row in rows]


def _what_it_does(pod: Body, last_line: str | None) -> str:
    if "deletionTimestamp" in pod["metadata"]:
        return "finishing its requests, then it ends"
    if is_ready(pod):
        return "ready"
    if is_downloading(pod):
        return _cut(_message_of(last_line)) or "downloading"
    state = _state(pod)
    if "running" in state:
        return f"loading: {_cut(_message_of(last_line))}" if last_line else "starting"
    for kind in ("waiting", "terminated"):
        if kind in state:
            return str(state[kind].get("reason") or kind)
    return str((pod.get("status") or {}).get("phase", "unknown")).lower()


def _findings(resource: Body) -> list[str]:
    """What is wrong with what to do, and what is under way."""
    found = {
        kind: _condition(resource, kind) for kind in ("Accepted", "Degraded", "Progressing", "Available")
    }
    wrong = [found["Accepted"]] if found["Accepted"]["status"] == "False" else []
    wrong += [found["Degraded"]] if found["Degraded"]["status"] == "True" else []
    if not wrong and found["Available"]["reason"] == "ScaledToZero":
        wrong = [found["Available"]]
    lines = []
    for condition in wrong:
        lines.append(f"wrong: {condition['reason']}: {condition['message']}")
        lines.append(
            f"to do: {_ADVICE.get(condition['reason'], 'kubectl describe the object that the message names')}"
        )
    progressing = found["Progressing"]
    if progressing["status"] == "True" or progressing["reason"] == "Blocked":
        lines.append(f"rollout: {progressing['reason']}: {progressing['message']}")
    if not resource.get("status"):
        lines.append(
            "to do: wait some seconds; if this stays, look whether the operator runs and watches the namespace"
        )
    return lines or ["nothing is wrong"]


def _condition(resource: Body, kind: str) -> Body:
    conditions = (resource.get("status") or {}).get("conditions") or ()
    absent = {"type": kind, "status": "Unknown", "reason": "Unknown", "message": ""}
    return next((each for each in conditions if each["type"] == kind), absent)


def _is_current(resource: Body) -> bool:
    return bool(
        (resource.get("status") or {}).get("observedGeneration") == resource["metadata"]["generation"]
    )


def _containers(pod: Body) -> Sequence[Body]:
    return (pod.get("status") or {}).get("containerStatuses") or ()


def _state(pod: Body) -> Body:
    return next((each.get("state") or {} for each in _containers(pod)), {})


def _message_of(line: str | None) -> str:
    """A log line without its time, level and logger."""
    return (line or "").partition(" paddock.")[2].partition(": ")[2] or (line or "")


def _age(metadata: Body, now: datetime) -> str:
    created = datetime.fromisoformat(metadata["creationTimestamp"]).astimezone(UTC)
    seconds = max(0, int((now - created).total_seconds()))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def _cut(text: str) -> str:
    return text if len(text) <= _LINE_CHARACTERS else f"{text[: _LINE_CHARACTERS - 1]}…"
