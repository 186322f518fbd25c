"""How the kubelet learns whether a pod would answer, and whether it is stuck. Pure."""

from __future__ import annotations

import math
from typing import Any

from paddock.operator.durations import seconds
from paddock.operator.plan.blueprint import Blueprint
from paddock.operator.plan.launch import NODE_RANK

_STARTUP_PERIOD_SECONDS = 2
_ASK = """\
import http.client, os, ssl, sys
if os.environ["{rank}"] != "0": sys.exit()
connection = http.client.{connection}
connection.request("GET", sys.argv[1])
sys.exit(connection.getresponse().status != 200)
"""


def probes(blueprint: Blueprint) -> dict[str, Any]:
    """Startup and readiness mean "would answer"; liveness means "not stuck", also while it drains."""
    startup = seconds(blueprint.spec.template.startup_timeout)
    health, ping = _asked(blueprint, "/health"), _asked(blueprint, "/ping")
    return {
        "startupProbe": {
            **health,
            "periodSeconds": _STARTUP_PERIOD_SECONDS,
            "timeoutSeconds": 5,
            "failureThreshold": max(1, math.ceil(startup / _STARTUP_PERIOD_SECONDS)),
        },
        "readinessProbe": {**health, "periodSeconds": 3, "timeoutSeconds": 5, "failureThreshold": 2},
        "livenessProbe": {**ping, "periodSeconds": 10, "timeoutSeconds": 10, "failureThreshold": 3},
    }


def _asked(blueprint: Blueprint, path: str) -> dict[str, Any]:
    """The kubelet asks the server itself. It takes any certificate, and presents none.

    The pods of a group share one template, also where only the first speaks HTTP: there a command asks in the first,
    and the others, which end when they lose it, count as ready.
    """
    if blueprint.layout.has_followers:
        return {"exec": {"command": ["python", "-S", "-c", _script(blueprint), path]}}
    request = {"path": path, "port": blueprint.scheme}
    return {"httpGet": {**request, "scheme": "HTTPS"} if blueprint.scheme == "https" else request}


def _script(blueprint: Blueprint) -> str:
    address = f'"127.0.0.1", {blueprint.port}, timeout=4'
    connection = f"HTTPConnection({address})"
    if blueprint.scheme == "https":
        connection = f"HTTPSConnection({address}, context=ssl._create_unverified_context())"
    return _ASK.format(rank=NODE_RANK, connection=connection)
