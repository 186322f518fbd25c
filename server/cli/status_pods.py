"""On the screen of `paddock status`: the table of pods, each with what it does and how far it is."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

Body = Mapping[str, Any]

_LINE_CHARACTERS = 160
_BEFORE_SERVER = {
    "survey": "reading what the model is",
    "download": "downloading",
    "adapters": "fetching adapters",
}
"""What the operator's init containers do."""


def pod_lines(pods: Sequence[Body], last_lines: Mapping[str, str], now: datetime) -> list[str]:
    """`last_lines`: by pod, what its speaker said last."""
    rows = [("POD", "NODE", "AGE", "RESTARTS", "STATE")]
    for pod in sorted(pods, key=lambda pod: str(pod["metadata"]["name"])):
        name = pod["metadata"]["name"]
        restarts = sum(each.get("restartCount", 0) for each in _statuses(pod, "container"))
        node = pod["spec"].get("nodeName", "-")
        line = last_lines.get(name)
        rows.append((name, node, age(pod["metadata"], now), str(restarts), _what_it_does(pod, line)))
    if len(rows) == 1:
        return ["no pods"]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return ["  ".join([*map(str.ljust, row[:4], widths), row[4]]) for row in rows]


def speaker(pod: Body) -> str | None:
    """The container whose log tells how far a pod that is on its way is; None for one that is not."""
    if "deletionTimestamp" in pod["metadata"] or is_ready(pod):
        return None
    if "running" in _state(pod):
        return str(pod["spec"]["containers"][0]["name"])
    return _preparing(pod)


def is_ready(pod: Body) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def telling_line(log: str) -> str:
    """Of the end of a log, the last line of ours: libraries warn in between. The arguments tell nothing new here."""
    lines = [line for line in log.splitlines() if line.strip()]
    ours = [line for line in lines if " paddock." in line and "paddock.server: arguments: " not in line]
    return (ours or [line for line in lines if "paddock.server: arguments: " not in line] or [""])[-1]


def age(metadata: Body, now: datetime) -> str:
    created = datetime.fromisoformat(metadata["creationTimestamp"]).astimezone(UTC)
    seconds = max(0, int((now - created).total_seconds()))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def cut(text: str) -> str:
    return text if len(text) <= _LINE_CHARACTERS else f"{text[: _LINE_CHARACTERS - 1]}…"


def _what_it_does(pod: Body, last_line: str | None) -> str:
    if "deletionTimestamp" in pod["metadata"]:
        return "finishing its requests, then it ends"
    if is_ready(pod):
        return "ready"
    state = _state(pod)
    said = cut(_message_of(last_line))
    if "running" in state:
        return f"loading: {said}" if said else "starting"
    if "terminated" in state:
        ended = state["terminated"]
        return f"ended with exit code {ended.get('exitCode', '?')} ({ended.get('reason') or 'no reason'})"
    if preparing := _preparing(pod):
        return said or _BEFORE_SERVER.get(preparing, preparing)
    if "waiting" in state:
        return str(state["waiting"].get("reason") or "waiting")
    return str((pod.get("status") or {}).get("phase", "unknown")).lower()


def _preparing(pod: Body) -> str | None:
    """The init container that runs. One of them, which fetches adapters, runs on beside the server."""
    running = [each["name"] for each in _statuses(pod, "initContainer") if "running" in each.get("state", {})]
    return running[-1] if running else None


def _statuses(pod: Body, kind: str) -> Sequence[Body]:
    return (pod.get("status") or {}).get(f"{kind}Statuses") or ()


def _state(pod: Body) -> Body:
    """Of the server, the first container."""
    return next((each.get("state") or {} for each in _statuses(pod, "container")), {})


def _message_of(line: str | None) -> str:
    """A log line without its time, level and logger."""
    return (line or "").partition(" paddock.")[2].partition(": ")[2] or (line or "")
