"""`spec.lora.adapters` that are mounted: their volumes in the pod, and the serve arguments that name them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from paddock.operator.adapters import ADAPTER_SOURCE, ADAPTERS, ADAPTERS_PATH, Adapter
from paddock.operator.plan.host_paths import HostPathPolicy
from paddock.operator.plan.model_source import ModelSource, model_source


@dataclass(frozen=True)
class AdapterVolume:
    """Number `index` of the spec's."""

    index: int
    path: str
    source: ModelSource

    @property
    def volume(self) -> dict[str, Any]:
        return self.source.volume | {"name": self._name}

    @property
    def mount(self) -> dict[str, Any]:
        return self.source.mount | {"name": self._name, "mountPath": self.path}

    @property
    def _name(self) -> str:
        return f"adapter-{self.index}"


def adapter_volumes(adapters: Sequence[Adapter], host_paths: HostPathPolicy) -> tuple[AdapterVolume, ...]:
    """Of those that are mounted. Raises Refusal for an address that cannot be mounted here."""
    return tuple(
        AdapterVolume(
            index,
            _folder(adapter.name),
            model_source(adapter.uri, host_paths, f"spec.lora.adapters[{index}].uri"),
        )
        for index, adapter in enumerate(adapters)
        if not adapter.is_fetched
    )


def with_adapters(spec: Mapping[str, Any], adapters: Sequence[Adapter]) -> Mapping[str, Any]:
    """The spec as the engine's groups say the same: adapters that are mounted are modules with a path."""
    if "lora" not in spec:
        return spec
    own = (ADAPTERS, ADAPTER_SOURCE)
    lora = {key: value for key, value in (spec["lora"] or {}).items() if key not in own}
    if not adapters:
        return {**spec, "lora": lora}
    frontend = spec.get("frontend") or {}
    mounted = [adapter for adapter in adapters if not adapter.is_fetched]
    modules = [{"name": adapter.name, "path": _folder(adapter.name)} for adapter in mounted]
    named = {"loraModules": [*(frontend.get("loraModules") or ()), *modules]} if modules else {}
    return {**spec, "lora": {"enableLora": True, **lora}, "frontend": {**frontend, **named}}


def without_fetched(spec: Mapping[str, Any], adapters: Sequence[Adapter]) -> Mapping[str, Any]:
    """The spec as far as pods are made of it: adapters that are fetched come and go without a new one."""
    names = {adapter.name for adapter in adapters if adapter.is_fetched}
    if not names:
        return spec
    lora = spec["lora"]
    return {
        **spec,
        "lora": {**lora, ADAPTERS: [each for each in lora[ADAPTERS] if each["name"] not in names]},
    }


def _folder(name: str) -> str:
    return f"{ADAPTERS_PATH}/{name}"
