"""One device's share of the engine: weights, cache and runner."""

import logging
import resource
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import torch

from paddock.engine.distributed.expert_group import join_experts
from paddock.engine.distributed.seat import Seat
from paddock.engine.executor.base import MaskSource
from paddock.engine.executor.plan import StepPlan, StepResult
from paddock.engine.free_memory import keep_freed_memory, return_free_memory
from paddock.engine.layers.layer_stream import LayerStream
from paddock.engine.layers.zeroed_memory import zeroed
from paddock.engine.lora.adapter import Adapter
from paddock.engine.lora.shelf import AdapterShelf
from paddock.engine.models.decoder_lm import DecoderLM
from paddock.engine.models.shape import ModelShape
from paddock.engine.pooling.model import PooledModel
from paddock.engine.pooling.runner import PoolingRunner
from paddock.engine.settings import EngineSettings, SettingsError
from paddock.engine.shortage import is_shortage
from paddock.engine.weights.loader import load_model
from paddock.engine.worker.device import cache_budget, free_memory, pick_device, swap_budget
from paddock.engine.worker.fit import MemoryNeed, block_bytes, step_bytes
from paddock.engine.worker.graph_capture import GraphCapture
from paddock.engine.worker.host import thread_count
from paddock.engine.worker.largest_step import (
    CPU_TOKENS,
    WARM_UP_TOKENS,
    TrialStep,
    peak_on_cuda,
    peak_on_host,
)
from paddock.engine.worker.measured_scales import made_up_text, scaled_layers, take_scales, unscale
from paddock.engine.worker.runner import ModelRunner
from paddock.engine.worker.step_clock import StepClock
from paddock.engine.worker.swapped_blocks import SwappedBlocks

if TYPE_CHECKING:
    from paddock.engine.config import ServeConfig

logger = logging.getLogger(__name__)


class Worker:
    """Loads the model when made; `initialize_cache` makes it ready to run."""

    callable_methods: ClassVar[frozenset[str]] = frozenset()
    """Names of those that `--worker-extension-cls` adds."""

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
        self._path, self._load_config = path, config.load
        self.device = pick_device(settings, self.seat.local_index, self.seat.num_sharers)
        self.dtype: torch.dtype = getattr(torch, settings.dtype)
        self.cache_dtype: torch.dtype = getattr(torch, settings.kv_dtype)
        _check_holds_float8(self.cache_dtype, self.device)
        _check_offloads(settings, self.device)
        parallel = config.parallel
        by_experts = parallel.expert_placement_strategy if parallel.enable_expert_parallel else None
        own_type = settings.attention_dtype and getattr(torch, settings.attention_dtype)
        place = self.seat.placement(self.dtype, self.device, by_experts)
        experts = join_experts(self.seat.topology, self.seat.rank, self.device)
        self.place = replace(place, attention_dtype=own_type, experts=experts)
        self._pipeline = self.seat.pipeline(shape.hidden_size, settings.max_num_batched_tokens, self.place)
        self._load()
        if self.device.type == "cpu":
            torch.set_num_threads(thread_count(self.weight_bytes, num_sharers=self.seat.num_sharers))
            keep_freed_memory()
        self._log_loaded()
        self.adapters = self._adapter_shelf()
        self.step_bytes = step_bytes(shape, settings, self.model.head_dim)
        """Of the largest step, beside weights and cache: by arithmetic, until it is measured."""
        self.graph_bytes = 0
        """Of captured decode steps, once it is measured."""
        self.runner: ModelRunner | PoolingRunner | None = None
        self._swapped: SwappedBlocks | None = None

    def _load(self) -> None:
        settings, shape = self.settings, self.shape
        need = MemoryNeed.of(shape, self._path, settings, self.place)
        need.check(settings, self.device, self.seat.num_sharers)
        place = self.place
        if need.offload.layers:
            place = replace(place, stream=LayerStream(need.offload.layers, self.device))
        self.model, self.weight_bytes = load_model(
            shape, self._path, self._load_config, place, settings.max_model_len, settings.seed
        )
        self._is_loaded = True
        self._capture = GraphCapture(self.model, settings, self.place, shape, self.cache_dtype)
        parts = settings.timed_parts
        self._clock = StepClock(self.model, self.device, parts) if parts else None

    def _log_loaded(self) -> None:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        logger.info(
            "rank %d of %d holds %.2f GB of weights; peak resident memory of its process so far: %.2f GB",
            self.seat.rank, self.seat.topology.world_size, self.weight_bytes / 1e9, peak / 1e9,
        )  # fmt: skip

    def _adapter_shelf(self) -> AdapterShelf | None:
        """None where no adapters are served, and the model is left as it is."""
        limits = self.settings.lora
        if limits is None:
            return None
        assert isinstance(self.model, DecoderLM), "other models are refused with the settings"
        return AdapterShelf(self.model, self.shape, self.place, limits, self.settings.max_num_seqs)

    def hold_adapter(self, adapter: Adapter) -> str | None:
        """See `AdapterShelf.hold`."""
        assert self.adapters is not None, "asked for with settings.lora only"
        return self.adapters.hold(adapter)

    def drop_adapter(self, number: int) -> None:
        assert self.adapters is not None, "asked for with settings.lora only"
        self.adapters.drop(number)

    @property
    def num_layers(self) -> int:
        """Layers of this worker's pipeline stage that keep keys and values."""
        return self.model.num_cache_layers

    def bytes_per_block(self) -> int:
        return block_bytes(self.model, self.settings.block_size, self.cache_dtype)

    @property
    def _swap_bytes(self) -> int:
        return swap_budget(self.device, self.settings.swap_space_bytes, self.seat.num_sharers)

    def swap_blocks(self) -> int:
        """See `Executor.swap_blocks`. An encoder has no cache, and nothing to swap."""
        block = self.bytes_per_block()
        return self._swap_bytes // block if block else 0

    def available_cache_bytes(self) -> int:
        """`kv_cache_memory_bytes` where it is set; else what is free, less what the largest step was seen to take."""
        if self.settings.kv_cache_memory_bytes is not None:
            return self.settings.kv_cache_memory_bytes
        if self.settings.num_gpu_blocks_override is None:
            self._measure_step()
        utilization = self.settings.gpu_memory_utilization
        reserved = (
            self.step_bytes + self.graph_bytes + (0 if self.adapters is None else self.adapters.most_bytes)
        )
        if self.device.type == "cpu":
            reserved += self._swap_bytes
        return cache_budget(self.device, utilization, reserved, self.seat.num_sharers)

    def _measure_step(self) -> None:
        """Ranks do it together. On a CPU the step is a part of the largest, and what it cannot show (a second copy of
        the logits, say) keeps the arithmetic's bound."""
        on_cuda = self.device.type == "cuda"
        # Users' own logits processors are for users' requests.
        plain = replace(self.settings, logits_processors=())
        trial = TrialStep.of(plain, None if on_cuda else CPU_TOKENS)
        runner = self._make_runner(plain)
        try:
            for cache in self._bind_cache(trial.num_blocks(plain), self.cache_dtype):
                cache.zero_()  # so that its pages are there, and none of what the step adds
            if on_cuda:
                self.step_bytes = peak_on_cuda(lambda: runner.execute(trial.plan(plain)), self.device)
                self.graph_bytes = self._capture.measured_bytes(trial.num_blocks(plain))
            else:
                runner.execute(TrialStep.of(plain, WARM_UP_TOKENS).plan(plain))
                peak = peak_on_host(lambda: runner.execute(trial.plan(plain)))
                self.step_bytes = max(self.step_bytes, int(peak * trial.scale))
        except Exception as error:
            if not is_shortage(error):
                raise
            raise MemoryError(
                f"the largest step, {plain.max_num_batched_tokens} tokens in {plain.max_num_seqs} requests, finds no "
                f"memory beside the weights on {self.device}; lower --max-num-batched-tokens or --max-num-seqs."
            ) from error
        finally:
            self._bind_cache(0, self.cache_dtype)

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
        if self.settings.calculate_kv_scales:
            self._measure_scales()
        caches = self._bind_cache(num_blocks, self.cache_dtype)
        self._swapped = SwappedBlocks(caches) if caches else None
        self.runner = self._make_runner(self.settings)
        if isinstance(self.runner, ModelRunner):
            self.runner.graphs = self._capture.captured(caches)

    def _measure_scales(self) -> None:
        """By a step over a cache that needs no scales. Ranks do it together."""
        plain = replace(self.settings, logits_processors=())
        plan = made_up_text(plain)
        layers = list(scaled_layers(self.model))
        unscale(layers)
        full_type = getattr(torch, self.settings.attention_dtype or self.settings.dtype)
        self._bind_cache(len(plan.scheduled[0].new_block_ids), full_type)
        self._make_runner(plain).execute(plan)
        take_scales(layers, self.cache_dtype)

    def _bind_cache(self, num_blocks: int, dtype: torch.dtype) -> list[torch.Tensor]:
        """What was bound before is let go; returns what is bound now."""
        size = (num_blocks, self.model.num_kv_heads, self.settings.block_size, self.model.head_dim)
        # Zeros, not garbage: a NaN left in an unused slot would survive being multiplied by a weight of 0.
        keys = [zeroed(size, dtype, self.device) for _ in range(self.num_layers)]
        values = [zeroed(size, dtype, self.device) for _ in keys] if self.model.keeps_values else keys
        self.model.bind_cache(list(zip(keys, values, strict=True)))
        return [*keys, *values] if self.model.keeps_values else keys

    def _make_runner(self, settings: EngineSettings) -> ModelRunner | PoolingRunner:
        if isinstance(self.model, PooledModel):
            return PoolingRunner(self.model, settings, self.place, self._pipeline)
        return ModelRunner(self.model, settings, self.place, self._pipeline, self.adapters)

    def sleep(self, level: int) -> None:
        """See `Executor.sleep`."""
        self.runner = self._swapped = None
        if not self._is_loaded:
            return
        self._bind_cache(0, self.cache_dtype)
        if level > 1 or self.device.type == "cuda":
            del self.model, self._capture
            self._is_loaded = False
        return_free_memory()

    def wake_up(self, num_blocks: int) -> None:
        """See `Executor.wake_up`."""
        if not self._is_loaded:
            self._load()
        self.initialize_cache(num_blocks)

    def execute(
        self,
        plan: StepPlan,
        sampled_later: Iterable[tuple[int, int]] = (),
        masks: MaskSource | None = None,
    ) -> StepResult:
        """As `ModelRunner.execute`."""
        if self.runner is None:
            raise RuntimeError("execute before initialize_cache: the worker has no cache to run with")
        if self._swapped is not None:
            self._swapped.copy_out(plan.swapped_out)
            self._swapped.copy_in(plan.swapped_in)
        step = partial(self.runner.execute, plan, sampled_later, masks)
        return step() if self._clock is None else self._clock.run(step)


def _check_offloads(settings: EngineSettings, device: torch.device) -> None:
    if settings.cpu_offload_bytes and device.type == "cpu":
        raise SettingsError(
            f"--cpu-offload-gb {settings.cpu_offload_bytes / (1 << 30):g}: on a CPU all weights are in host memory already; "
            "leave it out."
        )


def _check_holds_float8(dtype: torch.dtype, device: torch.device) -> None:
    """Triton converts to 8-bit floats by instructions that NVIDIA has from Ada on."""
    if dtype.itemsize == 1 and device.type == "cuda" and torch.cuda.get_device_capability(device) < (8, 9):
        raise SettingsError(
            f"--kv-cache-dtype fp8: {torch.cuda.get_device_name(device)} is older than Ada (compute capability 8.9), and "
            "has no 8-bit floats; leave --kv-cache-dtype out, or use bfloat16."
        )
