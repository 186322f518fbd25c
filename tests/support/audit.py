"""What pods asked of the API server, as its audit log has it."""

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from installed import Cluster

READS = ("get", "list", "watch")
_POD = "authentication.kubernetes.io/pod-name"


@dataclass(frozen=True)
class Asked:
    """One request of a pod. `at`: when the API server received it; `code`: how it answered."""

    at: datetime
    pod: str
    user: str
    verb: str
    group: str
    resource: str
    namespace: str
    name: str
    code: int

    @property
    def is_write(self) -> bool:
        return self.verb not in READS


class AuditLog:
    """Requests since this object was made."""

    def __init__(self, cluster: Cluster) -> None:
        self._file: Path = cluster.kubectl.kubeconfig.parent / "log" / "audit.jsonl"
        self._start = self._file.stat().st_size

    def of(self, account: str) -> list[Asked]:
        """Of the ServiceAccount NAMESPACE:NAME, in the order of arrival."""
        with self._file.open("rb") as file:
            file.seek(self._start)
            entries = [json.loads(line) for line in file if line.endswith(b"\n")]
        user = f"system:serviceaccount:{account}"
        ours = [_asked(entry) for entry in entries if entry["user"]["username"] == user]
        return sorted(ours, key=lambda asked: asked.at)


def _asked(entry: dict[str, Any]) -> Asked:
    what = entry.get("objectRef", {})
    subresource = f"/{what['subresource']}" if "subresource" in what else ""
    return Asked(
        at=datetime.fromisoformat(entry["requestReceivedTimestamp"]),
        pod=entry["user"].get("extra", {}).get(_POD, [""])[0],
        user=entry["user"]["username"],
        verb=entry["verb"],
        group=what.get("apiGroup", ""),
        resource=f"{what.get('resource', '')}{subresource}",
        namespace=what.get("namespace", ""),
        name=what.get("name", ""),
        code=entry["responseStatus"]["code"],
    )
