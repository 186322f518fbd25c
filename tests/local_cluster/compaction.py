"""Make etcd forget every revision but the latest, and the API server the changes that it remembers."""

import json
import sys
from typing import Any

from local_cluster.api_client import ApiClient
from local_cluster.control_plane import start_api_server
from local_cluster.deadline import Deadline
from local_cluster.process_records import ProcessRecord
from local_cluster.running_cluster import Cluster

ETCD = "http://127.0.0.1:2379"
RESTART_SECONDS = 60
# etcd listens inside the control plane's network alone, so the request is made by a process there.
POST = """import sys, urllib.request
request = urllib.request.Request(sys.argv[1], sys.argv[2].encode(), {"Content-Type": "application/json"})
print(urllib.request.urlopen(request, timeout=60).read().decode())
"""


def compact(cluster: Cluster) -> int:
    """Returns the one revision that is left. A watch or a list from before it is then refused as expired.

    The API server is killed and started again: it would answer for a while from what it has seen itself.
    """
    revision = int(_etcd(cluster, "maintenance/status")["header"]["revision"])
    _etcd(cluster, "kv/compaction", revision=str(revision), physical=True)
    _etcd(cluster, "maintenance/defragment")
    record = ProcessRecord.read(cluster.directory.processes / "cp.kube-apiserver")
    record.kill()
    deadline = Deadline(RESTART_SECONDS)
    deadline.wait("end of the API server", lambda: not record.exists())
    start_api_server(cluster.directory, cluster.network, cluster.control_plane)
    deadline.wait("API server", lambda: _answers(cluster))
    return revision


def _answers(cluster: Cluster) -> bool:
    cluster.control_plane.require_running()
    return ApiClient(cluster.directory, cluster.network).ready()


def _etcd(cluster: Cluster, method: str, **body: object) -> dict[str, Any]:
    """Calls a method of etcd's API over its JSON gateway."""
    script = [sys.executable, "-c", POST, f"{ETCD}/v3/{method}", json.dumps(body)]
    answer: dict[str, Any] = json.loads(cluster.control_plane.net(script))
    return answer
