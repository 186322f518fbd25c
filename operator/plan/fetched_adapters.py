"""Adapters that are fetched while pods run: the list that each pod bears, and where they come from and lie. Pure.

The list is an annotation of the pod. The kubelet shows it to the pod as a file, so nobody calls the engine, and no client
can: who may change it is who may write to pods.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from paddock.operator.adapters import Adapter, Adapters, AdapterSource
from paddock.operator.plan.host_paths import HostPathPolicy
from paddock.operator.plan.model_download import cache_volume, check_cache, entry_name, s3_credentials
from paddock.operator.source import Source

WANTED_ADAPTERS = "paddock.dev/adapters"
"""The annotation."""

_DIGEST_CHARACTERS = 12
_PORTS = (8471, 8472)


@dataclass(frozen=True)
class FetchedAdapters:
    """`folder`: of the cache, one for those who fetch with the same credentials. `cache`: its address, None for the
    operator's own choice. `port`: where a pod tells how far each is.
    """

    wanted: tuple[Mapping[str, str], ...]
    namespace: str
    folder: str
    variables: tuple[Mapping[str, Any], ...]
    cache: str | None
    port: int

    @property
    def annotation(self) -> str:
        return json.dumps(self.wanted, sort_keys=True, separators=(",", ":"))

    def volume(self, default_cache: str) -> tuple[dict[str, Any], str]:
        """The pod's volume of the cache, without a name, and the folder in it."""
        address = default_cache if self.cache is None else self.cache
        volume, folder = cache_volume(address, self.namespace)
        unnamed = {key: value for key, value in volume.items() if key != "name"}
        return unnamed, posixpath.join(folder, self.folder)


def fetches(lora: Mapping[str, Any], adapters: Adapters) -> bool:
    """Whether pods can take adapters while they run: some are fetched, or LoRA is on with an empty list."""
    listed = adapters.adapters
    if listed is None:
        return False
    return any(adapter.is_fetched for adapter in listed) or (not listed and lora.get("enableLora") is True)


def fetched_adapters(
    adapters: Adapters,
    model_uri: str,
    of_model: Source,
    token: Mapping[str, str] | None,
    namespace: str,
    host_paths: HostPathPolicy,
    api_port: int,
) -> FetchedAdapters:
    """What `adapters.source` leaves out is as `of_model` has it. Raises Refusal for a cache that is not allowed."""
    source = _completed(adapters.source, model_uri, of_model)
    check_cache(source.cache, host_paths, "spec.lora.source.cache")
    secret = source.credentials_secret_ref
    identity = [source.hub_endpoint, source.s3_endpoint, token, secret.name if secret else None]
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:_DIGEST_CHARACTERS]
    fixed = (("HF_ENDPOINT", source.hub_endpoint), ("AWS_ENDPOINT_URL", source.s3_endpoint))
    return FetchedAdapters(
        wanted=tuple(_wanted(adapter) for adapter in _in_order(adapters.adapters or ())),
        namespace=namespace,
        folder=f"adapters-{digest}",
        variables=(
            *({"name": name, "value": value} for name, value in fixed if value),
            *([{"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": dict(token)}}] if token else ()),
            *(s3_credentials(secret.name, source.s3_endpoint) if secret else ()),
        ),
        cache=source.cache,
        port=next(port for port in _PORTS if port != api_port),
    )


def _completed(given: AdapterSource, model_uri: str, of_model: Source) -> AdapterSource:
    scheme = model_uri.partition("://")[0]
    of_bucket = of_model if scheme == "s3" else Source()
    return AdapterSource(
        cache=of_model.cache if given.cache is None else given.cache,
        hub_endpoint=given.hub_endpoint or (of_model.endpoint if scheme == "hf" else None),
        s3_endpoint=given.s3_endpoint or of_bucket.endpoint,
        credentials_secret_ref=given.credentials_secret_ref or of_bucket.credentials_secret_ref,
    )


def _in_order(adapters: Sequence[Adapter]) -> list[Adapter]:
    return sorted((adapter for adapter in adapters if adapter.is_fetched), key=lambda adapter: adapter.name)


def _wanted(adapter: Adapter) -> dict[str, str]:
    identity = [adapter.sha256 or adapter.uri]
    checksum = {"sha256": adapter.sha256} if adapter.sha256 else {}
    return {
        "name": adapter.name,
        "uri": adapter.uri,
        "entry": entry_name(adapter.uri, identity),
        **checksum,
    }
