"""Whether a model fits its device, asked before the first weight is read."""

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from paddock.engine.layers.placement import Placement
from paddock.engine.models.causal_lm import CausalLM
from paddock.engine.models.shape import ModelShape
from paddock.engine.settings import EngineSettings
from paddock.engine.weights.loader import build_model
from paddock.engine.worker.device import free_memory, usable_memory
from paddock.engine.worker.host import available_memory
from paddock.engine.worker.offload import NO_OFFLOAD, Offload

GIBIBYTE = 1 << 30


def block_bytes(model: CausalLM, block_size: int, cache_dtype: torch.dtype) -> int:
    """Of one KV block on one worker, all layers, keys and values."""
    tensors = 2 if model.keeps_values else 1
    elements = model.num_kv_heads * block_size * model.head_dim
    return model.num_cache_layers * tensors * elements * cache_dtype.itemsize


def step_bytes(shape: ModelShape, settings: EngineSettings, head_dim: int) -> int:
    """An upper bound of the largest step's activations by arithmetic: what lives at once in a layer, and the logits
    with their sampling copies. `head_dim` is the model's where its cache keeps more than the shape says."""
    tokens, itemsize = settings.max_num_batched_tokens, getattr(torch, settings.dtype).itemsize
    head_dim = max(shape.head_dim, head_dim)
    qkv = (shape.num_heads + 2 * shape.num_kv_heads) * head_dim
    widest = max(3 * shape.intermediate_size, qkv + 2 * shape.num_heads * head_dim)
    layer: int = tokens * (4 * shape.hidden_size + widest) * itemsize
    logits = 0 if shape.pooling is not None else settings.max_num_seqs * shape.vocab_size * 4
    return layer + 4 * logits


@dataclass(frozen=True, slots=True)
class MemoryNeed:
    """What one worker has to hold at least; bytes."""

    weights: int
    step: int
    cache: int
    cache_is: str
    """What the cache's size stands for, in words."""

    swap: int = 0
    """In host memory, for swapped-out blocks; as asked for."""
    offload: Offload = NO_OFFLOAD

    @staticmethod
    def of(shape: ModelShape, path: Path, settings: EngineSettings, place: Placement) -> "MemoryNeed":
        """From the layers themselves, made without memory. Of a model that transformers builds the files tell."""
        if not shape.native:
            stored = sum(file.stat().st_size for file in path.glob("*.safetensors"))
            step, swap = step_bytes(shape, settings, 0), settings.swap_space_bytes or 0
            return MemoryNeed(stored // place.size, step, 0, "not known yet", swap)
        sketch = build_model(shape, replace(place, device=torch.device("meta")), 1)
        weights = sum(target.destination.nbytes for target in sketch.weight_targets())
        cache_dtype = getattr(torch, settings.kv_dtype)
        block = block_bytes(sketch, settings.block_size, cache_dtype)
        step = step_bytes(shape, settings, sketch.head_dim)
        offload = Offload.plan(sketch, settings.cpu_offload_bytes)
        swap = settings.swap_space_bytes or 0
        return MemoryNeed(weights, step, *_smallest_cache(settings, block), swap, offload)

    def check(self, settings: EngineSettings, device: torch.device, num_sharers: int) -> None:
        """Raises `MemoryError` with the arithmetic. A cache sized by hand may take all that is free."""
        sized_by_hand = (
            settings.num_gpu_blocks_override is not None or settings.kv_cache_memory_bytes is not None
        )
        utilization = 1.0 if sized_by_hand else settings.gpu_memory_utilization
        usable = usable_memory(device, utilization, num_sharers)
        weights = self.weights - self.offload.host_bytes + self.offload.buffer_bytes
        needed = weights + self.step + self.cache
        swap = ""
        if device.type == "cpu":
            needed += self.swap
            swap = f"swapped-out blocks {_gib(self.swap)} (--swap-space) + " if self.swap else ""
        else:
            self._check_host(num_sharers)
        if needed <= usable:
            return
        share = "" if sized_by_hand else f"--gpu-memory-utilization {utilization:g} of "
        of_each = f", shared by {num_sharers} ranks" if num_sharers > 1 and device.type == "cpu" else ""
        raise MemoryError(
            f"the model does not fit: weights {_gib(weights)} + the largest step {_gib(self.step)} "
            f"(--max-num-batched-tokens {settings.max_num_batched_tokens}, --max-num-seqs {settings.max_num_seqs}) + "
            f"{swap}KV cache {_gib(self.cache)} ({self.cache_is}) = {_gib(needed)}, and on {device} there are {_gib(usable)} to "
            f"use ({share}{_gib(free_memory(device))} free{of_each}). {_advice(settings)}"
        )

    def _check_host(self, num_sharers: int) -> None:
        """What the workers of a node keep in host memory beside their devices."""
        needed, free = (self.swap + self.offload.host_bytes) * num_sharers, available_memory()
        if needed > free:
            raise MemoryError(
                f"--swap-space takes {_gib(self.swap)} and --cpu-offload-gb {_gib(self.offload.host_bytes)} of host memory "
                f"for each of {num_sharers} ranks = {_gib(needed)}, and {_gib(free)} are free. Lower one of them, or give it "
                "more memory."
            )


def _smallest_cache(settings: EngineSettings, block: int) -> tuple[int, str]:
    if settings.num_gpu_blocks_override is not None:
        return (
            settings.num_gpu_blocks_override * block,
            f"--num-gpu-blocks-override {settings.num_gpu_blocks_override}",
        )
    if settings.kv_cache_memory_bytes is not None:
        return settings.kv_cache_memory_bytes, "--kv-cache-memory-bytes"
    blocks = -(-settings.max_model_len // settings.block_size)
    return blocks * block, f"one request of --max-model-len {settings.max_model_len}"


def _advice(settings: EngineSettings) -> str:
    cache = "--max-model-len"
    if settings.num_gpu_blocks_override is not None:
        cache = "--num-gpu-blocks-override"
    elif settings.kv_cache_memory_bytes is not None:
        cache = "--kv-cache-memory-bytes"
    if settings.swap_space_bytes:
        cache = f"--swap-space, {cache}"
    return (
        f"Lower {cache}, --max-num-batched-tokens or --max-num-seqs, choose a narrower --dtype, split the model by "
        "--tensor-parallel-size, or give it more memory."
    )


def _gib(count: int) -> str:
    return f"{count / GIBIBYTE:.2f} GiB"
