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


def model_source(uri: str, host_paths: HostPathPolicy, field: str = "spec.model.uri") -> ModelSource:
    """The volume for `uri`, which stands in `field`. Raises Refusal for an address that cannot be served here."""
    scheme, _, rest = uri.partition("://")
    match scheme:
        case "file":
            return _host_path(unquote(rest), host_paths, field)
        case "pvc":
            return _claim(unquote(rest), field)
        case "oci":
            return _image(uri, field)
    raise Refusal("UnsupportedModelSource", f"{field}: {uri!r} is not an address of a model: {_SUPPORTED}")


def _host_path(path: str, host_paths: HostPathPolicy, field: str) -> ModelSource:
    if not path.startswith("/") or ".." in path.split("/"):
        raise Refusal("InvalidModelSource", f"{field}: file://{path} must hold an absolute path without ..")
    path = posixpath.normpath(path)
    host_paths.check(path, field)
    return ModelSource({"name": "model", "hostPath": {"path": path, "type": "Directory"}})


def _claim(rest: str, field: str) -> ModelSource:
    claim, _, folder = rest.partition("/")
    if not claim:
        raise Refusal("InvalidModelSource", f"{field}: a pvc:// address is pvc://CLAIM or pvc://CLAIM/FOLDER")
    volume = {"name": "model", "persistentVolumeClaim": {"claimName": claim, "readOnly": True}}
    return ModelSource(volume, _folder(folder, field), claim)


def _image(uri: str, field: str) -> ModelSource:
    parts = urlsplit(uri)
    unknown = sorted(set(parse_qs(parts.query)) - {"path"})
    if unknown:
        raise Refusal(
            "InvalidModelSource", f"{field}: unknown parameter {unknown[0]!r}; only ?path= is known"
        )
    volume = {
        "name": "model",
        "image": {"reference": parts.netloc + parts.path, "pullPolicy": "IfNotPresent"},
    }
    return ModelSource(volume, _folder(parse_qs(parts.query).get("path", [""])[0], field))


def _folder(path: str, field: str) -> str:
    if ".." in path.split("/"):
        raise Refusal("InvalidModelSource", f"{field}: folder {path!r} must not contain ..")
    return path.strip("/")
