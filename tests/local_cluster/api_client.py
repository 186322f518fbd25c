"""The few requests to the API server that bring-up needs, over one TLS connection each.

Not kubectl: its ordinary commands do discovery first, which hangs for tens of seconds on a restart while the pod of
an aggregated API is not up yet, and starting it costs more than the request.
"""

import http.client
import json
import ssl
from typing import Any

from local_cluster.directories import ClusterDirectory
from local_cluster.errors import ClusterError
from local_cluster.network import ClusterNetwork

TIMEOUT_SECONDS = 10.0


class ApiClient:
    """Requests as the cluster's administrator."""

    def __init__(self, cluster: ClusterDirectory, network: ClusterNetwork) -> None:
        self._host = network.control_plane
        self._tls = ssl.create_default_context(cafile=str(cluster.pki / "ca.crt"))
        self._tls.load_cert_chain(cluster.pki / "admin.crt", cluster.pki / "admin.key")

    def ready(self) -> bool:
        return self._request("GET", "/readyz")[0] == http.HTTPStatus.OK

    def get(self, path: str) -> dict[str, Any] | None:
        """The object at `path`, or None when there is none."""
        status, body = self._request("GET", path)
        if status == http.HTTPStatus.NOT_FOUND:
            return None
        if status != http.HTTPStatus.OK:
            raise ClusterError(f"GET {path} answered {status}: {body[:300]}")
        answer: dict[str, Any] = json.loads(body)
        return answer

    def create(self, path: str, value: dict[str, Any]) -> bool:
        """Create an object in the collection `path`; one that exists already is left as it is."""
        status, body = self._request("POST", path, json.dumps(value))
        if status not in (http.HTTPStatus.CREATED, http.HTTPStatus.CONFLICT):
            raise ClusterError(f"POST {path} answered {status}: {body[:300]}")
        return True

    def _request(self, method: str, path: str, body: str | None = None) -> tuple[int, str]:
        connection = http.client.HTTPSConnection(self._host, 6443, timeout=TIMEOUT_SECONDS, context=self._tls)
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            return answer.status, answer.read().decode(errors="replace")
        except (OSError, http.client.HTTPException) as error:
            raise ClusterError(f"the API server at {self._host}:6443 did not answer: {error}") from error
        finally:
            connection.close()
