"""The few verbs of the Kubernetes API that the operator uses, with errors that a caller can decide on."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

import aiohttp

from paddock.operator.resource import GROUP, KIND, PLURAL, VERSION

FIELD_MANAGER = "paddock-operator"
_PATHS = {
    KIND: (f"/apis/{GROUP}/{VERSION}", PLURAL),
    "StatefulSet": ("/apis/apps/v1", "statefulsets"),
    "Service": ("/api/v1", "services"),
    "Secret": ("/api/v1", "secrets"),
    "ServiceAccount": ("/api/v1", "serviceaccounts"),
    "Pod": ("/api/v1", "pods"),
    "PersistentVolumeClaim": ("/api/v1", "persistentvolumeclaims"),
    "PodDisruptionBudget": ("/apis/policy/v1", "poddisruptionbudgets"),
    "NetworkPolicy": ("/apis/networking.k8s.io/v1", "networkpolicies"),
    "HorizontalPodAutoscaler": ("/apis/autoscaling/v2", "horizontalpodautoscalers"),
    "ScaledObject": ("/apis/keda.sh/v1alpha1", "scaledobjects"),
    "ConfigMap": ("/api/v1", "configmaps"),
    "EndpointSlice": ("/apis/discovery.k8s.io/v1", "endpointslices"),
    "Event": ("/apis/events.k8s.io/v1", "events"),
    "APIService": ("/apis/apiregistration.k8s.io/v1", "apiservices"),
    "ClusterRole": ("/apis/rbac.authorization.k8s.io/v1", "clusterroles"),
    "Lease": ("/apis/coordination.k8s.io/v1", "leases"),
}
_TIMEOUT = aiohttp.ClientTimeout(total=30, sock_connect=5)
_WRITE_TIMEOUT = aiohttp.ClientTimeout(total=30, connect=4)
"""A write that waits for a connection is dropped before anybody else may hold the Lease (5 s after we let go)."""

_PAGE = 500
_NEVER = "1"
_CLIPPED = 600


class ApiError(Exception):
    """The API server answered with an error. `retry_after`: seconds it asked us to wait, 0 when it did not."""

    def __init__(self, status: int, reason: str, message: str, retry_after: float = 0.0) -> None:
        super().__init__(f"{status} {reason}: {message[:_CLIPPED]}")
        self.status = status
        self.reason = reason
        self.message = message[:_CLIPPED]
        self.retry_after = retry_after


class NotLeading(Exception):
    """A write was about to happen without holding the Lease."""


class Api:
    """One API server. Writes are refused while `may_write()` is false: a deposed leader changes nothing.

    `wrote` hears of each object as a write left it, `removed` (kind, namespace, name, uid) of each that went.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        server: str,
        may_write: Callable[[], bool] = lambda: True,
        wrote: Callable[[Mapping[str, Any]], None] = lambda _: None,
        removed: Callable[[str, str, str, str], None] = lambda *_: None,
    ) -> None:
        self._session = session
        self._server = server
        self._may_write = may_write
        self._wrote = wrote
        self._removed = removed

    async def get(self, kind: str, namespace: str, name: str) -> dict[str, Any] | None:
        """The object, or None when there is none."""
        try:
            return await self._request("GET", _path(kind, namespace, name))
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    async def named(self, kind: str, namespace: str, name: str) -> dict[str, Any] | None:
        """As `get`, for kinds that there is a right to list."""
        found = await self.list(kind, namespace, fields=f"metadata.name={name}")
        return {"kind": kind, **found[0]} if found else None

    async def list(
        self, kind: str, namespace: str | None, labels: str = "", fields: str = ""
    ) -> list[dict[str, Any]]:
        """All objects of one kind that match both selectors, in all namespaces when `namespace` is None."""
        selectors = {"labelSelector": labels, "fieldSelector": fields}
        answer = await self._request("GET", _path(kind, namespace), {k: v for k, v in selectors.items() if v})
        items: list[dict[str, Any]] = answer["items"]
        return items

    async def pages(
        self, kind: str, namespace: str | None, labels: str
    ) -> AsyncIterator[tuple[Sequence[dict[str, Any]], str]]:
        """As `list`, some hundreds at a time, each with the resourceVersion of which the whole list is."""
        query = {"labelSelector": labels, "limit": str(_PAGE)}
        while True:
            answer = await self._request("GET", _path(kind, namespace), query)
            meta = answer["metadata"]
            yield answer["items"], meta["resourceVersion"]
            if not meta.get("continue"):
                return
            query["continue"] = meta["continue"]

    async def serves(self, kind: str) -> bool:
        """Whether the API server knows the kind (for ours: whether the CRD is there and established)."""
        prefix, plural = _PATHS[kind]
        try:
            resources = (await self._request("GET", prefix))["resources"]
        except ApiError as error:
            if error.status == 404:
                return False
            raise
        return any(resource["name"] == plural for resource in resources)

    async def make(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """As `apply`, of what must not exist yet: 409 where the name is taken, whoever has it.

        An apply that names a resourceVersion makes what is absent and refuses what has another one, and nothing
        has this: the first key that etcd stores gets 2. A POST would leave our fields to a second owner, whom later
        applies could take none from.
        """
        return await self.apply({**manifest, "metadata": {**manifest["metadata"], "resourceVersion": _NEVER}})

    async def apply(self, manifest: Mapping[str, Any], subresource: str = "") -> dict[str, Any]:
        """Server-side apply: our fields become as given, fields of others stay."""
        meta = manifest["metadata"]
        path = _path(manifest["kind"], meta.get("namespace"), meta["name"]) + (
            f"/{subresource}" if subresource else ""
        )
        query = {"fieldManager": FIELD_MANAGER, "force": "true"}
        applied = await self._request("PATCH", path, query, manifest, "application/apply-patch+yaml")
        self._wrote(applied)
        return applied

    async def create(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        path = _path(manifest["kind"], manifest["metadata"]["namespace"])
        return await self._request("POST", path, {"fieldManager": FIELD_MANAGER}, manifest)

    async def replace(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """Update; refused with 409 when metadata.resourceVersion is not the latest."""
        meta = manifest["metadata"]
        path = _path(manifest["kind"], meta["namespace"], meta["name"])
        return await self._request("PUT", path, {"fieldManager": FIELD_MANAGER}, manifest)

    async def merge(self, kind: str, namespace: str, name: str, patch: Mapping[str, Any]) -> dict[str, Any]:
        path = _path(kind, namespace, name)
        return await self._request("PATCH", path, body=patch, content_type="application/merge-patch+json")

    async def delete(
        self, kind: str, namespace: str, name: str, uid: str, resource_version: str | None
    ) -> None:
        """Deletes this very object, in this very state unless None; 409 when it changed, no error when it is gone."""
        seen = {"uid": uid, "resourceVersion": resource_version}
        body = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Background",
            "preconditions": {key: value for key, value in seen.items() if value is not None},
        }
        try:
            left = await self._request("DELETE", _path(kind, namespace, name), body=body)
        except ApiError as error:
            if error.status != 404:
                raise
            self._removed(kind, namespace, name, uid)
            return
        if left.get("kind") == kind:
            self._wrote(left)  # it goes in its own time, as a pod does
        else:
            self._removed(kind, namespace, name, uid)

    async def _request(
        self,
        verb: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
    ) -> dict[str, Any]:
        if verb != "GET" and not self._may_write():
            raise NotLeading(f"{verb} {path} refused: the Lease is not held")
        data = json.dumps(body).encode() if body is not None else None
        headers = {"Content-Type": content_type} if data else {}
        async with self._session.request(
            verb,
            self._server + path,
            params=query,
            data=data,
            headers=headers,
            timeout=_TIMEOUT if verb == "GET" else _WRITE_TIMEOUT,
        ) as response:
            text = await response.text()
            if response.status >= 400:
                raise _error(response, text)
            answer: dict[str, Any] = json.loads(text)
            return answer


def _path(kind: str, namespace: str | None, name: str | None = None) -> str:
    prefix, plural = _PATHS[kind]
    scope = f"/namespaces/{namespace}" if namespace else ""
    return f"{prefix}{scope}/{plural}" + (f"/{name}" if name else "")


def _error(response: aiohttp.ClientResponse, text: str) -> ApiError:
    try:
        status = json.loads(text)
        reason, message = status.get("reason", ""), status.get("message", "")
    except (ValueError, AttributeError):
        reason, message = response.reason or "", text
    try:
        retry_after = float(response.headers.get("Retry-After", 0))
    except ValueError:
        retry_after = 0.0
    return ApiError(response.status, reason, message, retry_after)
