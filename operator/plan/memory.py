"""`status.plan`: what a replica takes of its nodes, and whether its model fits the memory that the spec names. Pure.

Activations and what the device's own libraries take are not counted, so that a refusal is never wrong: what is said to fit
may still be too much by those.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from paddock.engine.config import ServeConfig
from paddock.operator.plan.footprint import (
    Footprint,
    recalled,
    report_key,
    reported,
    stated,
    surveyed,
)
from paddock.operator.plan.layout import Layout, devices_per_pod
from paddock.operator.plan.refusal import ModelDoesNotFit, Refusal
from paddock.operator.plan.survey import Survey
from paddock.operator.quantities import amount
from paddock.operator.resource import InferenceService, OperatorSpec

_MEMORY_LABEL, _PRODUCT_LABEL = "nvidia.com/gpu.memory", "nvidia.com/gpu.product"
_DEFAULT_BLOCK_TOKENS = 16
_UNKNOWN = (
    "weights and cache are known when a replica has loaded the model: the operator does not open its files, and a pod "
    "reads ahead only in those of hf://, s3:// and https:// models"
)


@dataclass(frozen=True)
class DeviceMemory:
    """Bytes of one accelerator, and what says so."""

    size: int
    origin: str


def device_memory(spec: OperatorSpec) -> DeviceMemory | None:
    """As spec.template says: by its own field, else by the node labels of NVIDIA's feature discovery."""
    template = spec.template
    labels = template.node_selector or {}
    if template.accelerator_memory is not None:
        given = amount(template.accelerator_memory) or Decimal(0)
        return DeviceMemory(int(given), "spec.template.acceleratorMemory")
    if re.fullmatch(r"\d+", labels.get(_MEMORY_LABEL, "")):
        return DeviceMemory(int(labels[_MEMORY_LABEL]) << 20, f"node label {_MEMORY_LABEL}")
    named = re.search(r"(?<![0-9])(\d+)GB(?![A-Za-z0-9])", labels.get(_PRODUCT_LABEL, ""))
    return DeviceMemory(int(named[1]) << 30, f"node label {_PRODUCT_LABEL}") if named else None


def check_fit(config: ServeConfig, footprint: Footprint | None, memory: DeviceMemory | None) -> None:
    """Raises Refusal with the arithmetic when the weights, or one sequence of the longest context, cannot fit."""
    if footprint is None or not footprint.is_bound:
        return
    if memory is not None:
        _check_weights(config, footprint, memory)
    wanted, tokens = config.model.max_model_len, tokens_per_engine(config, footprint, memory)
    if wanted is not None and tokens is not None and wanted > tokens:
        each = footprint.kv_bytes_per_token
        raise Refusal(
            "DoesNotFit",
            f"spec.model.maxModelLen: {wanted} tokens of {each} bytes take {_gb(wanted * each)} of cache, and it holds "
            f"{tokens} tokens at most: {_room(config, footprint, memory)}; lower maxModelLen to that or less, or give the "
            "cache more",
        )


def _check_weights(config: ServeConfig, footprint: Footprint, memory: DeviceMemory) -> None:
    ranks, usable = _ranks(config), _usable(config, memory)
    if _device_weights(config, footprint) <= ranks * usable:
        return
    share = footprint.weight_bytes / ranks
    dealt = f", {_gb(share)} on each of {ranks} ranks" if ranks > 1 else ""
    raise Refusal(
        "DoesNotFit",
        f"spec.parallel: the weights take {_gb(footprint.weight_bytes)}{dealt}, and a device has "
        f"{_budget(config, memory)}: at least {-(-footprint.weight_bytes // max(1, usable))} ranks are needed "
        "(tensorParallelSize times pipelineParallelSize), or larger devices",
    )


def tokens_per_engine(config: ServeConfig, footprint: Footprint, memory: DeviceMemory | None) -> int | None:
    """Tokens that the cache of one engine holds at most; None where nothing says how large it will be, or none is kept."""
    cache = config.cache
    if not footprint.kv_bytes_per_token:
        return None
    block = cache.block_size or _DEFAULT_BLOCK_TOKENS
    if cache.num_gpu_blocks_override is not None:
        return cache.num_gpu_blocks_override * block
    if cache.kv_cache_memory_bytes is not None:
        room = cache.kv_cache_memory_bytes * _ranks(config)
    elif memory is not None:
        room = _usable(config, memory) * _ranks(config) - _device_weights(config, footprint)
    else:
        return None
    return max(0, room // footprint.kv_bytes_per_token // block * block)


def memory_plan(
    config: ServeConfig,
    cut: Layout,
    spec: OperatorSpec,
    service: InferenceService,
    accelerator: str,
    revision: str,
    survey: Survey | None = None,
) -> dict[str, Any]:
    """`status.plan` of a spec that can fit; what is not known is left out, and `basis` says why. Raises Refusal.

    What a replica of the same model and sizes has reported stands before what is computed. `survey`: what a pod of the
    revision read in the model's files.
    """
    memory, key = device_memory(spec), report_key(config, service)
    devices = devices_per_pod(spec, cut, accelerator)
    before, on_cpus = service.status.get("plan") or {}, devices == 0
    footprint = (
        reported(before, key, revision)
        or (surveyed(config, survey, on_cpus=on_cpus) if survey else None)
        or recalled(before, key)
        or stated(config, on_cpus=on_cpus)
    )
    plan: dict[str, Any] = {
        "podsPerReplica": cut.nodes,
        "gpusPerPod": devices,
        "acceleratorMemoryBytes": memory.size if memory else None,
        "basis": _UNKNOWN,
        "key": key,
    }
    if footprint is not None:
        engine = tokens_per_engine(config, footprint, memory)
        computed = None if engine is None else engine * config.parallel.data_parallel_size
        plan |= {
            "weightBytes": footprint.weight_bytes,
            "kvBytesPerToken": footprint.kv_bytes_per_token if footprint.is_bound else None,
            "kvTokensPerReplica": computed if footprint.tokens is None else footprint.tokens,
            "basis": footprint.basis,
        }
    known = {name: value for name, value in plan.items() if value is not None}
    try:
        check_fit(config, footprint, memory)
    except Refusal as refusal:
        if footprint is not None and footprint.is_read:
            raise ModelDoesNotFit(refusal, known, revision) from None
        raise
    return known


def _ranks(config: ServeConfig) -> int:
    return config.parallel.tensor_parallel_size * config.parallel.pipeline_parallel_size


def _device_weights(config: ServeConfig, footprint: Footprint) -> int:
    """Bytes over all ranks, at least: layers that stay in host memory come through buffers, which are not counted."""
    return max(0, footprint.weight_bytes - int(config.cache.cpu_offload_gb * 2**30) * _ranks(config))


def _usable(config: ServeConfig, memory: DeviceMemory) -> int:
    return int(memory.size * config.cache.gpu_memory_utilization)


def _room(config: ServeConfig, footprint: Footprint, memory: DeviceMemory | None) -> str:
    """Where the limit on the cache comes from."""
    cache = config.cache
    if cache.num_gpu_blocks_override is not None:
        return f"numGpuBlocksOverride is {cache.num_gpu_blocks_override}"
    ranks = _ranks(config)
    each = f" on each of {ranks} ranks" if ranks > 1 else ""
    if cache.kv_cache_memory_bytes is not None:
        return f"kvCacheMemoryBytes is {cache.kv_cache_memory_bytes}{each}"
    assert memory is not None, "else no limit is known"
    weights = _gb(_device_weights(config, footprint) / ranks)
    return f"a device has {_budget(config, memory)}, and the weights take {weights} of it{each}"


def _budget(config: ServeConfig, memory: DeviceMemory) -> str:
    share = config.cache.gpu_memory_utilization
    given = f"{_gb(memory.size)} ({memory.origin})"
    return f"{given} times gpuMemoryUtilization {share:g}, which is {_gb(_usable(config, memory))}"


def _gb(size: float) -> str:
    return f"{size / 1e9:.1f} GB"
