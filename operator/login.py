"""Where the API server is and how to prove who we are: in a pod, or from a kubeconfig file.

One aiohttp session serves our own requests and kopf's. Its middleware reads the token file again as kubelet
rotates it, which neither kopf's own login nor a header set once would do.
"""

from __future__ import annotations

import base64
import os
import ssl
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from paddock.operator.origin import origin

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_TOKEN_SECONDS = 60.0
Requested = Callable[[str, int, str], None]
"""Told of each request: verb, HTTP status (0 when no answer came), path and query."""


class LoginError(Exception):
    """No usable credentials; the text says what to do."""


@dataclass(frozen=True)
class Credentials:
    """The address of an API server and the means of authentication. PEM texts are bytes."""

    server: str
    ca: bytes | None = None
    certificate: bytes | None = None
    key: bytes | None = None
    token: str | None = None
    token_file: Path | None = None
    verify: bool = True
    namespace: str = "default"

    def ssl_context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cadata=self.ca.decode() if self.ca else None)
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.certificate and self.key:
            # Python reads a client certificate from files only; they live for this call.
            with tempfile.TemporaryDirectory() as folder:
                paths = Path(folder, "certificate"), Path(folder, "key")
                for path, text in zip(paths, (self.certificate, self.key), strict=True):
                    path.touch(mode=0o600)
                    path.write_bytes(text)
                context.load_cert_chain(*paths)
        return context


def find_credentials(kubeconfig: str | None = None, context: str | None = None) -> Credentials:
    """The given kubeconfig, else the pod's service account, else $KUBECONFIG or ~/.kube/config."""
    if (
        kubeconfig is None
        and (SERVICE_ACCOUNT / "token").exists()
        and "KUBERNETES_SERVICE_HOST" in os.environ
    ):
        return _in_cluster()
    chosen = kubeconfig or os.environ.get("KUBECONFIG", "").split(os.pathsep)[0] or "~/.kube/config"
    return from_kubeconfig(Path(chosen).expanduser(), context)


def _in_cluster() -> Credentials:
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    return Credentials(
        server=origin("https", host, port),
        ca=(SERVICE_ACCOUNT / "ca.crt").read_bytes(),
        token_file=SERVICE_ACCOUNT / "token",
        namespace=(SERVICE_ACCOUNT / "namespace").read_text().strip(),
    )


def from_kubeconfig(path: Path, context: str | None = None) -> Credentials:
    """Raises LoginError for a file that is missing, incomplete, or needs a login program."""
    if not path.is_file():
        raise LoginError(
            f"{path} does not exist: give --kubeconfig FILE, or run in a pod with a service account"
        )
    config = yaml.safe_load(path.read_text()) or {}
    chosen = context or config.get("current-context")
    where = _named(config, "contexts", chosen, path)["context"]
    cluster = _named(config, "clusters", where.get("cluster"), path)["cluster"]
    user = _named(config, "users", where.get("user"), path).get("user") or {}
    if "exec" in user or "auth-provider" in user:
        raise LoginError(
            f"user {where['user']!r} of {path} needs a login program: use a token or a certificate"
        )
    token_file = user.get("tokenFile")
    return Credentials(
        server=cluster["server"].rstrip("/"),
        ca=_pem(cluster, "certificate-authority", path),
        certificate=_pem(user, "client-certificate", path),
        key=_pem(user, "client-key", path),
        token=user.get("token"),
        token_file=path.parent / token_file if token_file else None,
        verify=not cluster.get("insecure-skip-tls-verify", False),
        namespace=where.get("namespace") or "default",
    )


def _named(config: Mapping[str, Any], section: str, name: str | None, path: Path) -> Mapping[str, Any]:
    found: list[Mapping[str, Any]] = [item for item in config.get(section) or () if item.get("name") == name]
    if not found:
        names = ", ".join(str(item.get("name")) for item in config.get(section) or ()) or "none"
        raise LoginError(f"{path} has no entry {name!r} under {section}; it has: {names}")
    return found[0]


def _pem(section: Mapping[str, Any], key: str, path: Path) -> bytes | None:
    if data := section.get(f"{key}-data"):
        return base64.b64decode(data)
    return (path.parent / section[key]).read_bytes() if section.get(key) else None


class _Bearer:
    """The Authorization header; a token file is read again every minute."""

    def __init__(self, credentials: Credentials) -> None:
        self._file = credentials.token_file
        self._token = credentials.token
        self._read_at = -_TOKEN_SECONDS

    def headers(self) -> dict[str, str]:
        now = time.monotonic()
        if self._file and now - self._read_at >= _TOKEN_SECONDS:
            self._token, self._read_at = self._file.read_text().strip(), now
        return {"Authorization": f"Bearer {self._token}"} if self._token else {}


def open_session(credentials: Credentials, requested: Requested) -> aiohttp.ClientSession:
    """A session for the running event loop. `requested` is called after each request."""
    bearer = _Bearer(credentials)

    async def authenticate(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        request.headers.update(bearer.headers())
        try:
            response = await handler(request)
        except BaseException:
            requested(request.method, 0, request.url.path_qs)
            raise
        requested(request.method, response.status, request.url.path_qs)
        return response

    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=64, ssl=credentials.ssl_context()),
        headers={"User-Agent": "paddock-operator"},
        middlewares=(authenticate,),
    )
