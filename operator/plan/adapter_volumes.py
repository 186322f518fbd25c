"""`spec.lora.adapters`: their volumes in the pod, and the serve arguments that name them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from paddock.operator.adapters import ADAPTERS, ADAPTERS_PATH, Adapter
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
    """Raises Refusal for an address that cannot be mounted here."""
    return tuple(
        AdapterVolume(
            index,
            _folder(adapter.name),
            model_source(adapter.uri, host_paths, f"spec.lora.adapters[{index}].uri"),
        )
        for index, adapter in enumerate(adapters)
    )


def with_adapters(spec: Mapping[str, Any], adapters: Sequence[Adapter]) -> Mapping[str, Any]:
    """The spec as the engine's groups say the same: adapters are modules with a path."""
    if not adapters:
        return spec
    lora = {key: value for key, value in spec["lora"].items() if key != ADAPTERS}
    frontend = spec.get("frontend") or {}
    modules = [{"name": adapter.name, "path": _folder(adapter.name)} for adapter in adapters]
    return {
        **spec,
        "lora": {"enableLora": True, **lora},
        "frontend": {**frontend, "loraModules": [*(frontend.get("loraModules") or ()), *modules]},
    }


def _folder(name: str) -> str:
    return f"{ADAPTERS_PATH}/{name}"
