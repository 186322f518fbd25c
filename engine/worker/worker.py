"""One device's share of the engine: weights, cache and runner."""

import logging
import resource
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from paddock.engine.distributed.seat import Seat
from paddock.engine.executor.base import MaskSource
from paddock.engine.executor.plan import StepPlan, StepResult
from paddock.engine.layers.zeroed_memory import zeroed
from paddock.engine.models.shape import ModelShape
from paddock.engine.settings import EngineSettings
from paddock.engine.weights.loader import load_model
from paddock.engine.worker.device import cache_budget, free_memory, pick_device
from paddock.engine.worker.host import thread_count
from paddock.engine.worker.runner import ModelRunner

if TYPE_CHECKING:
    from paddock.engine.config import ServeConfig

logger = logging.getLogger(__name__)


class Worker:
    """Loads the model when made; `initialize_cache` makes it ready to run."""

    def __init__(
        self,
        settings: EngineSettings,
        config: "ServeConfig",
        shape: ModelShape,
        path: Path,
        seat: Seat | None = None,
    ) -> None:
        """Without a seat the worker is alone. Raises `CheckpointError`, `SettingsError` or `MemoryError`."""
        self.settings, self.shape, self.seat = settings, shape, seat or Seat()
        self.device = pick_device(settings, self.seat.local_index, self.seat.num_sharers)
        self.dtype: torch.dtype = getattr(torch, settings.dtype)
        self.place = self.seat.placement(self.dtype, self.device)
        self.model, weight_bytes = load_model(
            shape, path, config.load, self.place, settings.max_model_len, settings.seed
        )
        if self.device.type == "cpu":
            torch.set_num_threads(thread_count(weight_bytes, num_sharers=self.seat.num_sharers))
        self._log_loaded(weight_bytes)
        self.runner: ModelRunner | None = None

    def _log_loaded(self, weight_bytes: int) -> None:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        logger.info(
            "rank %d of %d holds %.2f GB of weights; peak resident memory of its process so far: %.2f GB",
            self.seat.rank, self.seat.topology.world_size, weight_bytes / 1e9, peak / 1e9,
        )  # fmt: skip

    @property
    def num_layers(self) -> int:
        """Layers of this worker's pipeline stage that keep keys and values."""
        return self.model.num_cache_layers

    def bytes_per_block(self) -> int:
        tensors = 2 if self.model.keeps_values else 1
        return self.num_layers * tensors * self._block_elements() * self.dtype.itemsize

    def _block_elements(self) -> int:
        """Of one layer's keys, or values, in one block."""
        return self.model.num_kv_heads * self.settings.block_size * self.model.head_dim

    def available_cache_bytes(self) -> int:
        """`kv_cache_memory_bytes` where it is set; else what is free, less the largest step's activations."""
        if self.settings.kv_cache_memory_bytes is not None:
            return self.settings.kv_cache_memory_bytes
        utilization = self.settings.gpu_memory_utilization
        return cache_budget(self.device, utilization, self._activation_bytes(), self.seat.num_sharers)

    def _activation_bytes(self) -> int:
        """An upper bound by arithmetic: what lives at once in a layer, and the logits with their sampling copies."""
        shape, tokens = self.shape, self.settings.max_num_batched_tokens
        head_dim = max(shape.head_dim, self.model.head_dim)
        qkv = (shape.num_heads + 2 * shape.num_kv_heads) * head_dim
        widest = max(3 * shape.intermediate_size, qkv + 2 * shape.num_heads * head_dim)
        layer = tokens * (4 * shape.hidden_size + widest) * self.dtype.itemsize
        logits = self.settings.max_num_seqs * shape.vocab_size * 4
        return layer + 4 * logits

    def initialize_cache(self, num_blocks: int) -> None:
        """Raises `MemoryError` with the arithmetic when the blocks do not fit."""
        needed = num_blocks * self.bytes_per_block()
        free = free_memory(self.device) // (self.seat.num_sharers if self.device.type == "cpu" else 1)
        if needed > free:
            raise MemoryError(
                f"the KV cache of {num_blocks} blocks x {self.bytes_per_block()} bytes = {needed / 2**30:.2f} GiB does "
                f"not fit the {free / 2**30:.2f} GiB that are free on {self.device}; lower --kv-cache-memory-bytes or "
                "--num-gpu-blocks-override."
            )
        size = (num_blocks, self.model.num_kv_heads, self.settings.block_size, self.model.head_dim)
        # Zeros, not garbage: a NaN left in an unused slot would survive being multiplied by a weight of 0.
        keys = [zeroed(size, self.dtype, self.device) for _ in range(self.num_layers)]
        values = [zeroed(size, self.dtype, self.device) for _ in keys] if self.model.keeps_values else keys
        self.model.bind_cache(list(zip(keys, values, strict=True)))
        pipeline = self.seat.pipeline(self.shape.hidden_size, self.place)
        self.runner = ModelRunner(self.model, self.settings, self.place, pipeline)
        logger.info("KV cache: %d blocks, %.2f GiB on %s", num_blocks, needed / 2**30, self.device)

    def execute(
        self,
        plan: StepPlan,
        sampled_later: Iterable[tuple[int, int]] = (),
        masks: MaskSource | None = None,
    ) -> StepResult:
        """As `ModelRunner.execute`."""
        if self.runner is None:
            raise RuntimeError("execute before initialize_cache: the worker has no cache to run with")
        return self.runner.execute(plan, sampled_later, masks)
