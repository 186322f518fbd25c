"""`spec.model`: the fields by which the operator finds the model's files; the rest of the group is the engine's."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from paddock.operator.part import Part
from paddock.operator.pod_template import LocalReference
from paddock.operator.structural import Schema, structural_schema

URI = r"^(hf|pvc|oci|s3|https|file)://[^\s]+$"
_CLAIM = r"^pvc://[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?(/[^/\s]+)*/?$"
_HUB = r"^hf://[A-Za-z0-9_][-A-Za-z0-9_.]*/[-A-Za-z0-9_.]+(@[-A-Za-z0-9_./]+)?$"
_BUCKET = r"^s3://[a-z0-9][-a-z0-9.]{1,61}[a-z0-9](/[^/\s?#]+)*/?$"
_ARCHIVE = r"^https://[^/@\s?#]+/[^\s?#]+\.(tar|tar\.gz|tgz|zip)$"
CACHE = r"^$|^file:///[^/\s].*$|" + _CLAIM
DOWNLOADED = "^(hf|s3|https)://"
Endpoint = Annotated[str, Field(max_length=512, pattern=r"^https?://[^/@\s?#]+(/[^\s?#]*)?$")]


class Source(Part):
    """How a model that is downloaded is got, and where it is kept."""

    cache: Annotated[str, Field(max_length=1024, pattern=CACHE)] | None = Field(
        default=None,
        description="Where downloads are kept for other pods and services: pvc://claim/folder, which several nodes can mount "
        "and write, or file:///folder of each node (when the operator allows it). Empty: each pod downloads to its own "
        "disk. The operator's setting when left out.",
    )
    endpoint: Endpoint | None = Field(
        default=None,
        description="Address of a mirror of the hub (hf://), or of an S3 server (s3://), as https://s3.example:9000.",
    )
    credentials_secret_ref: LocalReference | None = Field(
        default=None,
        description="For s3://: a Secret with the keys AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and if need be "
        "AWS_SESSION_TOKEN, AWS_REGION and AWS_ENDPOINT_URL. For hf:// there is hfTokenSecretRef.",
    )
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", max_length=64)] | None = Field(
        default=None, description="For https://: the archive's checksum, as sha256sum prints it."
    )


def source_schemas() -> dict[str, Schema]:
    """The operator's own fields of `spec.model`."""
    return {"uri": _uri_schema(), "source": structural_schema(Source)}


def uri_rules() -> list[dict[str, Any]]:
    """CEL rules over an address, by its scheme."""
    forms = (
        (_CLAIM, "pvc://", "a pvc:// address is pvc://CLAIM or pvc://CLAIM/FOLDER"),
        (r"^file:///[^/]", "file://", "a file:// address holds an absolute path: file:///folder"),
        (_HUB, "hf://", "an hf:// address is hf://OWNER/NAME or hf://OWNER/NAME@REVISION"),
        (_BUCKET, "s3://", "an s3:// address is s3://BUCKET/FOLDER"),
        (
            _ARCHIVE,
            "https://",
            "an https:// address ends with .tar, .tar.gz, .tgz or .zip and holds no user, password or query",
        ),
    )
    rules = [
        {"rule": f"!self.startsWith('{scheme}') || self.matches('{_cel(form)}')", "message": message}
        for form, scheme, message in forms
    ]
    dots = {
        "rule": r"!self.matches('/\\.\\.?(/|$)')",
        "message": "the address must not contain . or .. as a folder",
    }
    return [*rules, dots]


def _uri_schema() -> Schema:
    return {
        "type": "string",
        "description": "Where the model's files are: hf://owner/name@revision (the hub), s3://bucket/folder, "
        "https://host/model.tar.gz, pvc://claim/folder, oci://registry/image:tag?path=/folder, "
        "file:///folder/on/the/node (when the operator allows it).",
        "minLength": 8,
        "maxLength": 1024,
        "pattern": URI,
        "x-kubernetes-validations": uri_rules(),
    }


def model_rules() -> list[dict[str, Any]]:
    """CEL rules over `spec.model` that tie its source to its address."""
    source = "has(self.source) && has(self.source."
    return [
        {
            "rule": f"self.uri.startsWith('https://') == ({source}sha256))",
            "message": "source.sha256 is needed for an https:// archive, and belongs to it only",
            "fieldPath": ".source",
        },
        {
            "rule": f"!({source}credentialsSecretRef)) || self.uri.startsWith('s3://')",
            "message": "source.credentialsSecretRef belongs to an s3:// address only; for hf:// use hfTokenSecretRef",
            "fieldPath": ".source",
        },
        {
            "rule": f"!({source}endpoint)) || self.uri.matches('^(hf|s3)://')",
            "message": "source.endpoint belongs to an hf:// or s3:// address only",
            "fieldPath": ".source",
        },
        {
            "rule": f"!({source}cache)) || self.uri.matches('{DOWNLOADED}')",
            "message": "source.cache belongs to a model that is downloaded (hf://, s3://, https://)",
            "fieldPath": ".source",
        },
        {
            "rule": "!has(self.revision) || (self.uri.startsWith('hf://') && !self.uri.contains('@'))",
            "message": "revision belongs to an hf:// address, and is given there (@) or here, not twice",
            "fieldPath": ".revision",
        },
    ]


def _cel(pattern: str) -> str:
    """A regular expression inside a CEL string literal."""
    return pattern.replace("\\", "\\\\")
