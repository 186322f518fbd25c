"""Only the API server may ask: it proves itself by the front proxy's certificate, and has judged the user by RBAC
before it passes a request on.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NAMESPACE, CONFIG_MAP = "kube-system", "extension-apiserver-authentication"


@dataclass(frozen=True)
class FrontProxy:
    """`authority`: PEM that signs its certificates; `names`: common names that they may bear, any when empty."""

    authority: str
    names: tuple[str, ...]

    @classmethod
    def of(cls, config_map: Mapping[str, Any] | None) -> FrontProxy | None:
        """None when the cluster has no front proxy set up."""
        data = (config_map or {}).get("data") or {}
        authority = data.get("requestheader-client-ca-file", "")
        names = json.loads(data.get("requestheader-allowed-names") or "[]")
        return cls(authority, tuple(names)) if authority else None

    def context(self, folder: Path) -> ssl.SSLContext:
        """TLS with our certificate (tls.crt, tls.key in `folder`), for clients that have one of the front proxy's."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(folder / "tls.crt", folder / "tls.key")
        context.load_verify_locations(cadata=self.authority)
        context.verify_mode = ssl.CERT_REQUIRED
        return context

    def admits(self, certificate: Mapping[str, Any] | None) -> bool:
        """Whether a verified peer certificate, as `getpeercert` gives it, bears an allowed name."""
        subject = (certificate or {}).get("subject", ())
        names = {value for part in subject for key, value in part if key == "commonName"}
        return bool(certificate) and (not self.names or bool(names & set(self.names)))
