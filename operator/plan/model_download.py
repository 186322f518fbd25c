"""A model that is downloaded: its place in a cache, and what `paddock fetch` is told. Pure."""

from __future__ import annotations

import hashlib
import json
import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from paddock.engine.config import LoadConfig, ModelConfig, ServeConfig, to_argv
from paddock.operator.plan.host_paths import HostPathPolicy
from paddock.operator.plan.model_source import ModelSource
from paddock.operator.plan.refusal import Refusal
from paddock.operator.source import Source

_ENTRY_CHARACTERS = 48
_DIGEST_CHARACTERS = 12
_S3_KEYS = {"AWS_ACCESS_KEY_ID": True, "AWS_SECRET_ACCESS_KEY": True, "AWS_SESSION_TOKEN": False,
            "AWS_REGION": False, "AWS_ENDPOINT_URL": False}  # fmt: skip
"""Keys of the Secret, which are the client's variables; True where it must have them."""

_ENDPOINTS = {"hf": "HF_ENDPOINT", "s3": "AWS_ENDPOINT_URL"}


@dataclass(frozen=True)
class ModelDownload:
    """`entry`: the model's folder in the cache, the same for all who want the same. `arguments` follow `fetch URI`.
    `cache`: the cache's address, None for the operator's own choice.
    """

    uri: str
    namespace: str
    entry: str
    arguments: tuple[str, ...]
    variables: tuple[Mapping[str, Any], ...]
    cache: str | None

    def stored(self, default_cache: str) -> ModelSource:
        """The model as the server finds it once it is downloaded. `default_cache`: address, empty for none."""
        volume, folder = cache_volume(default_cache if self.cache is None else self.cache, self.namespace)
        return ModelSource(volume, posixpath.join(folder, self.entry, "model"))


def model_download(
    uri: str,
    source: Source,
    config: ServeConfig,
    token: Mapping[str, str] | None,
    namespace: str,
    host_paths: HostPathPolicy,
) -> ModelDownload:
    """`token`: {name, key} of the hub's token. Raises Refusal for a cache that is not allowed."""
    scheme = uri.partition("://")[0]
    check_cache(source.cache, host_paths, "spec.model.source.cache")
    needed = _needed_files(config) if scheme == "hf" else ()
    checksum = ("--sha256", source.sha256) if source.sha256 else ()
    secret = token if scheme == "hf" else source.model_dump(include={"credentials_secret_ref"})
    # A service that names no Secret must not find what another one was allowed to download.
    identity = [source.sha256] if source.sha256 else [uri, source.endpoint, needed, secret]
    return ModelDownload(
        uri=uri,
        namespace=namespace,
        entry=entry_name(uri, identity),
        arguments=(*checksum, *(("--", *needed) if needed else ())),
        variables=(*_endpoint(scheme, source), *_credentials(scheme, source, token)),
        cache=source.cache,
    )


def check_cache(cache: str | None, host_paths: HostPathPolicy, field: str) -> None:
    """Raises Refusal for an address, which stands in `field`, that is not allowed."""
    if cache and cache.startswith("file://"):
        if ".." in unquote(cache).split("/"):
            raise Refusal("InvalidSpec", f"{field}: {cache} must not contain ..")
        host_paths.check(_host_folder(cache), field)


def _needed_files(config: ServeConfig) -> tuple[str, ...]:
    """The serve arguments that choose among a repository's files."""
    model, load = config.model, config.load
    chosen = ServeConfig(
        model=ModelConfig(revision=model.revision, trust_remote_code=model.trust_remote_code),
        load=LoadConfig(
            load_format=load.load_format,
            ignore_patterns=load.ignore_patterns,
            model_loader_extra_config=load.model_loader_extra_config,
        ),
    )
    return tuple(to_argv(chosen))


def entry_name(uri: str, identity: list[Any]) -> str:
    """Readable, and another one for whatever makes another model."""
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:_DIGEST_CHARACTERS]
    words = re.sub(r"[^a-z0-9.]+", "-", uri.partition("://")[2].lower())[-_ENTRY_CHARACTERS:].strip("-.")
    return f"{words}-{digest}"


def _endpoint(scheme: str, source: Source) -> list[dict[str, Any]]:
    return [{"name": _ENDPOINTS[scheme], "value": source.endpoint}] if source.endpoint else []


def _credentials(scheme: str, source: Source, token: Mapping[str, str] | None) -> list[dict[str, Any]]:
    """Variables that the kubelet fills from the Secret; the operator never reads it."""
    if scheme == "hf" and token:
        return [{"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": dict(token)}}]
    if source.credentials_secret_ref is None:
        return []
    return s3_credentials(source.credentials_secret_ref.name, source.endpoint)


def s3_credentials(secret: str, endpoint: str | None) -> list[dict[str, Any]]:
    """Of an S3 client. The Secret tells the endpoint, too, unless `endpoint` does."""
    given = {"AWS_ENDPOINT_URL"} if endpoint else set()
    return [
        {"name": key, "valueFrom": {"secretKeyRef": _reference(secret, key, needed)}}
        for key, needed in _S3_KEYS.items()
        if key not in given
    ]


def _reference(secret: str, key: str, needed: bool) -> dict[str, Any]:
    return {"name": secret, "key": key} | ({} if needed else {"optional": True})


def cache_volume(address: str, namespace: str) -> tuple[dict[str, Any], str]:
    """The volume, and the folder in it. Namespaces share no folder of a node: one could put a model in another's."""
    scheme, _, rest = address.partition("://")
    if scheme == "pvc":
        claim, _, folder = unquote(rest).partition("/")
        return {"name": "model", "persistentVolumeClaim": {"claimName": claim}}, folder.strip("/")
    if scheme == "file":
        path = {"path": _host_folder(address), "type": "Directory"}
        return {"name": "model", "hostPath": path}, namespace
    return {"name": "model", "emptyDir": {}}, ""


def _host_folder(address: str) -> str:
    return posixpath.normpath(unquote(address.removeprefix("file://")))
