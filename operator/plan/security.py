"""What the restricted Pod Security Standard asks of a pod and of each container."""

from __future__ import annotations

from typing import Any

_USER = 65532

POD: dict[str, Any] = {
    "runAsNonRoot": True,
    "runAsUser": _USER,
    "runAsGroup": _USER,
    "seccompProfile": {"type": "RuntimeDefault"},
}
CONTAINER: dict[str, Any] = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
WRITES_TO_CLAIM: dict[str, Any] = {"fsGroup": _USER, "fsGroupChangePolicy": "OnRootMismatch"}
"""Of a pod that fills a claim: a fresh volume belongs to root."""
