"""`spec.model.uri`: the volume that brings the model's files into the pod."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from paddock.operator.plan.refusal import Refusal
from paddock.operator.resource import MODEL_PATH

_SUPPORTED = "file:///folder, pvc://claim/folder or oci://registry/image:tag"


@dataclass(frozen=True)
class HostPathPolicy:
    """Which folders of a node a resource may mount: none, unless the operator's administrator says so."""

    allowed: bool = False
    prefixes: tuple[str, ...] = ()

    def check(self, path: str) -> None:
        """Raises Refusal unless `path` lies under an allowed folder."""
        if not self.allowed:
            raise Refusal(
                "HostPathNotAllowed",
                f"spec.model.uri: file://{path} needs a host path, which this operator does not allow: use pvc:// or "
                "oci://, or let the administrator allow its folder (PADDOCK_ALLOW_HOST_PATH, PADDOCK_HOST_PATH_PREFIXES)",
            )
        if not any(_under(path, prefix) for prefix in self.prefixes):
            raise Refusal(
                "HostPathNotAllowed",
                f"spec.model.uri: {path} is under none of the folders that this operator allows: "
                f"{', '.join(self.prefixes) or 'none is configured (PADDOCK_HOST_PATH_PREFIXES)'}",
            )


@dataclass(frozen=True)
class ModelSource:
    """A pod volume, and its mount at MODEL_PATH. `claim`: the PersistentVolumeClaim it needs."""

    volume: dict[str, Any]
    sub_path: str = ""
    claim: str | None = None

    @property
    def mount(self) -> dict[str, Any]:
        mount: dict[str, Any] = {"name": "model", "mountPath": MODEL_PATH, "readOnly": True}
        return {**mount, "subPath": self.sub_path} if self.sub_path else mount


def model_source(uri: str, host_paths: HostPathPolicy) -> ModelSource:
    """The volume for `uri`. Raises Refusal for an address that cannot be served here."""
    scheme, _, rest = uri.partition("://")
    match scheme:
        case "file":
            return _host_path(unquote(rest), host_paths)
        case "pvc":
            return _claim(unquote(rest))
        case "oci":
            return _image(uri)
        case "hf" | "s3" | "https":
            raise Refusal(
                "UnsupportedModelSource", f"spec.model.uri: {scheme}:// is not supported yet: {_SUPPORTED}"
            )
    raise Refusal(
        "UnsupportedModelSource", f"spec.model.uri: {uri!r} is not an address of a model: {_SUPPORTED}"
    )


def _host_path(path: str, host_paths: HostPathPolicy) -> ModelSource:
    if not path.startswith("/") or ".." in path.split("/"):
        raise Refusal(
            "InvalidModelSource", f"spec.model.uri: file://{path} must hold an absolute path without .."
        )
    path = posixpath.normpath(path)
    host_paths.check(path)
    return ModelSource({"name": "model", "hostPath": {"path": path, "type": "Directory"}})


def _claim(rest: str) -> ModelSource:
    claim, _, folder = rest.partition("/")
    if not claim:
        raise Refusal(
            "InvalidModelSource", "spec.model.uri: a pvc:// address is pvc://CLAIM or pvc://CLAIM/FOLDER"
        )
    volume = {"name": "model", "persistentVolumeClaim": {"claimName": claim, "readOnly": True}}
    return ModelSource(volume, _folder(folder), claim)


def _image(uri: str) -> ModelSource:
    parts = urlsplit(uri)
    unknown = sorted(set(parse_qs(parts.query)) - {"path"})
    if unknown:
        raise Refusal(
            "InvalidModelSource", f"spec.model.uri: unknown parameter {unknown[0]!r}; only ?path= is known"
        )
    volume = {
        "name": "model",
        "image": {"reference": parts.netloc + parts.path, "pullPolicy": "IfNotPresent"},
    }
    return ModelSource(volume, _folder(parse_qs(parts.query).get("path", [""])[0]))


def _folder(path: str) -> str:
    if ".." in path.split("/"):
        raise Refusal("InvalidModelSource", f"spec.model.uri: folder {path!r} must not contain ..")
    return path.strip("/")


def _under(path: str, prefix: str) -> bool:
    prefix = posixpath.normpath(prefix)
    return path == prefix or path.startswith(prefix.rstrip("/") + "/")
