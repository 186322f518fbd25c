"""`spec.model.uri` where the files are in reach: the volume that brings them into the pod."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from paddock.operator.plan.host_paths import HostPathPolicy
from paddock.operator.plan.refusal import Refusal
from paddock.operator.resource import MODEL_PATH

_SUPPORTED = "hf://owner/name, s3://bucket/folder, https://host/model.tar.gz, pvc://claim/folder, oci://registry/image:tag or file:///folder"


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
    raise Refusal(
        "UnsupportedModelSource", f"spec.model.uri: {uri!r} is not an address of a model: {_SUPPORTED}"
    )


def _host_path(path: str, host_paths: HostPathPolicy) -> ModelSource:
    if not path.startswith("/") or ".." in path.split("/"):
        raise Refusal(
            "InvalidModelSource", f"spec.model.uri: file://{path} must hold an absolute path without .."
        )
    path = posixpath.normpath(path)
    host_paths.check(path, "spec.model.uri")
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
