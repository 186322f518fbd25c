"""What the engine derives from the arguments and the model: the values in force, in one frozen object. Torch-free."""

import os
from dataclasses import dataclass
from glob import glob
from pathlib import Path
from typing import Literal

from paddock.engine.config import DEFAULT_MAX_NUM_SEQS, ServeConfig
from paddock.engine.config.cache import CUSTOMARY_SWAP_SPACE
from paddock.engine.config.environment import is_on
from paddock.engine.config.rules import token_budget
from paddock.engine.distributed.sizes import size_problem
from paddock.engine.graph_sizes import captured_sizes, graph_problem
from paddock.engine.kv_cache.block_hash import HashAlgorithm
from paddock.engine.lora.adapter import AdapterLimits
from paddock.engine.lora.limits import adapter_limits, lora_problem
from paddock.engine.models.shape import ModelShape
from paddock.engine.pooling.plan import PoolingPlan
from paddock.engine.pooling.problems import pooling_problem
from paddock.engine.scheduler.policy import PolicyName
from paddock.engine.step_seconds import TimedPart, timed_parts

DataType = Literal["float32", "bfloat16", "float16"]
LogprobsMode = Literal["raw_logprobs", "raw_logits", "processed_logprobs", "processed_logits"]

CacheType = Literal["bfloat16", "float8_e4m3fn", "float8_e5m2"]

DEFAULT_BLOCK_SIZE = 16
WAITING_PER_ROW = 4
"""Queued requests per row: about what a full batch leaves to wait for four of its own lengths."""

_DATA_TYPES: dict[str, DataType] = {
    "float32": "float32",
    "float": "float32",
    "bfloat16": "bfloat16",
    "float16": "float16",
    "half": "float16",
}


_CACHE_TYPES: dict[str, CacheType] = {
    "bfloat16": "bfloat16",
    "fp8": "float8_e4m3fn",
    "fp8_e4m3": "float8_e4m3fn",
    "fp8_e5m2": "float8_e5m2",
}


class SettingsError(ValueError):
    """Arguments that do not fit each other or the model. The text is meant to be printed."""


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """Values in force. Sizes are tokens, sequences or bytes as their names say."""

    max_model_len: int
    dtype: DataType
    vocab_size: int
    eos_token_ids: tuple[int, ...]
    block_size: int
    max_num_seqs: int
    max_num_batched_tokens: int
    max_waiting: int
    """Requests beyond `max_num_seqs` that the engine holds; one more is refused with 503."""

    attention_dtype: DataType | None = None
    """Of queries, keys and values; None is that of the computation."""

    cache_dtype: CacheType | None = None
    """Of the KV cache's elements, as torch calls it; None is that of the attention."""

    calculate_kv_scales: bool = False
    """Whether a cache of 8-bit floats is scaled by what is measured, and not as the checkpoint says."""

    enable_prefix_caching: bool = True
    enable_chunked_prefill: bool = True
    prefix_caching_hash_algo: HashAlgorithm = "sha256_cbor"
    max_num_partial_prefills: int = 1
    max_long_partial_prefills: int = 1
    long_prefill_token_threshold: int = 0
    """Prompts of more tokens are long, and a step computes at most this many of one; 0 makes none long."""

    scheduling_policy: PolicyName = "fcfs"
    scheduler_cls: str | None = None
    """Dotted path of a `SchedulerInterface`; None is the engine's own scheduler."""

    async_scheduling: bool = False
    logits_processors: tuple[str, ...] = ()
    logits_processor_pattern: str | None = None
    logprobs_mode: LogprobsMode = "raw_logprobs"
    seed: int = 0
    """Of the seeds drawn for requests without their own, and of dummy weights."""

    device: Literal["cuda", "cpu"] | None = None
    """None leaves the choice to the worker: CUDA where torch sees a device, else the CPU."""

    gpu_memory_utilization: float = 0.9
    kv_cache_memory_bytes: int | None = None
    num_gpu_blocks_override: int | None = None
    cpu_offload_bytes: int = 0
    """Of host memory for each worker's layers that come to the device as they are needed."""

    swap_space_bytes: int | None = None
    """Of host memory for each worker's swapped-out blocks; None leaves it to the worker."""

    pooling: PoolingPlan | None = None
    """What the engine makes of its inputs; None where it generates."""

    lora: AdapterLimits | None = None
    """None where no adapters are served."""

    graph_sizes: tuple[int, ...] = ()
    """Batch sizes whose decode steps are captured where the device has graphs, ascending."""

    graph_warmups: int = 1
    """Runs of a step before it is captured."""

    timed_parts: frozenset[TimedPart] = frozenset()
    """What of each step is timed for traces."""

    @property
    def kv_dtype(self) -> DataType | CacheType:
        """Of the KV cache's elements, as torch calls it."""
        return self.cache_dtype or self.attention_dtype or self.dtype

    @staticmethod
    def resolve(config: ServeConfig, shape: ModelShape) -> "EngineSettings":
        """Raises `SettingsError` for arguments that contradict the model or each other."""
        problem = (
            size_problem(config, shape)
            or pooling_problem(config, shape)
            or lora_problem(config, shape)
            or graph_problem(config)
        )
        if problem is not None:
            raise SettingsError(problem)
        # What sees in both directions is computed in one piece, and leaves nothing that another input could share.
        causal = shape.pooling is None or shape.pooling.causal
        chunked = causal and config.scheduler.enable_chunked_prefill is not False
        max_model_len = _max_model_len(config, shape)
        max_num_seqs = config.scheduler.max_num_seqs or DEFAULT_MAX_NUM_SEQS
        dtype = _dtype(config.model.dtype, shape.torch_dtype)
        return EngineSettings(
            max_model_len=max_model_len,
            dtype=dtype,
            vocab_size=shape.vocab_size,
            eos_token_ids=shape.eos_token_ids,
            block_size=config.cache.block_size or DEFAULT_BLOCK_SIZE,
            max_num_seqs=max_num_seqs,
            max_num_batched_tokens=_max_num_batched_tokens(config, max_model_len, max_num_seqs, chunked),
            max_waiting=WAITING_PER_ROW * max_num_seqs,
            attention_dtype=_attention_dtype(config, shape),
            cache_dtype=_cache_dtype(config, shape),
            calculate_kv_scales=_calculate_kv_scales(config, shape),
            enable_prefix_caching=causal and config.cache.enable_prefix_caching is not False,
            enable_chunked_prefill=chunked,
            prefix_caching_hash_algo=config.cache.prefix_caching_hash_algo,
            max_num_partial_prefills=config.scheduler.max_num_partial_prefills,
            max_long_partial_prefills=config.scheduler.max_long_partial_prefills,
            long_prefill_token_threshold=_long_prefill_token_threshold(config, max_model_len),
            scheduling_policy=config.scheduler.scheduling_policy,
            scheduler_cls=None
            if config.scheduler.scheduler_cls == "auto"
            else config.scheduler.scheduler_cls,
            async_scheduling=config.scheduler.async_scheduling,
            logits_processors=tuple(config.model.logits_processors or ()),
            logits_processor_pattern=config.model.logits_processor_pattern,
            logprobs_mode=config.model.logprobs_mode,
            seed=config.model.seed or 0,
            gpu_memory_utilization=config.cache.gpu_memory_utilization,
            kv_cache_memory_bytes=config.cache.kv_cache_memory_bytes,
            num_gpu_blocks_override=config.cache.num_gpu_blocks_override,
            cpu_offload_bytes=_cpu_offload_bytes(config, shape),
            swap_space_bytes=_swap_space_bytes(config.cache.swap_space),
            pooling=shape.pooling,
            lora=adapter_limits(config, dtype),
            graph_sizes=captured_sizes(config, max_num_seqs),
            graph_warmups=config.engine.compilation_config.cudagraph_num_of_warmups or 1,
            timed_parts=timed_parts(config.observability.collect_detailed_traces),
        )


def _attention_dtype(config: ServeConfig, shape: ModelShape) -> DataType | None:
    asked = config.model.override_attention_dtype
    if asked is None:
        return None
    is_latent = shape.fields.get("kv_lora_rank") is not None
    if not shape.native or is_latent or (shape.pooling is not None and not shape.pooling.causal):
        why = "runs through transformers" if not shape.native else "has an attention of its own kind"
        raise SettingsError(
            f"--override-attention-dtype {asked}: {shape.architecture} {why}, which keeps the model's precision; leave "
            "it out, or choose the precision of all by --dtype."
        )
    return _DATA_TYPES[asked]


def _calculate_kv_scales(config: ServeConfig, shape: ModelShape) -> bool:
    asked = config.cache.calculate_kv_scales
    if asked and (not shape.native or shape.pooling is not None):
        why = "runs through transformers" if not shape.native else "pools"
        raise SettingsError(
            f"--calculate-kv-scales: {shape.architecture} {why}, and its cache is not scaled; leave it out."
        )
    return asked


def _cpu_offload_bytes(config: ServeConfig, shape: ModelShape) -> int:
    asked = config.cache.cpu_offload_gb
    in_codes = shape.quantization.stored is not None or shape.quantization.rounded_bits is not None
    why = "runs through transformers" if not shape.native else "pools" if shape.pooling is not None else ""
    why = why or ("has its weights in codes" if in_codes else "")
    if asked and why:
        raise SettingsError(
            f"--cpu-offload-gb {asked:g}: {shape.architecture} {why}, and only plain weights of the engine's own "
            "generating models can stay in host memory; leave it out."
        )
    return int(asked * 2**30)


def _swap_space_bytes(gibibytes: float) -> int | None:
    return None if gibibytes == CUSTOMARY_SWAP_SPACE else int(gibibytes * 2**30)


def _cache_dtype(config: ServeConfig, shape: ModelShape) -> CacheType | None:
    asked = config.cache.kv_cache_dtype
    if asked != "auto" and shape.native and shape.fields.get("kv_lora_rank") is not None:
        raise SettingsError(
            f"--kv-cache-dtype {asked}: {shape.architecture} keeps one latent vector a token, in the type of the "
            "computation only; leave --kv-cache-dtype out."
        )
    return _CACHE_TYPES.get(asked)


def _max_model_len(config: ServeConfig, shape: ModelShape) -> int:
    asked, longest = config.model.max_model_len, shape.context_length
    if asked is not None and shape.uncut_context is not None and asked > shape.uncut_context:
        raise SettingsError(
            f"--max-model-len {asked} is more than the window of {shape.uncut_context} tokens, and "
            f"--disable-sliding-window limits the context to it; use at most {longest}, or leave "
            "--disable-sliding-window out."
        )
    if asked is not None and asked > longest and not is_on(os.environ, "ALLOW_LONG_MAX_MODEL_LEN"):
        raise SettingsError(
            f"--max-model-len {asked} is more than the {longest} positions the model was made for "
            f"(max_position_embeddings in its config.json, times what rope scaling adds); use at most {longest}, "
            "stretch it with --rope-scaling, or set PADDOCK_ALLOW_LONG_MAX_MODEL_LEN=1 and expect poor text past that."
        )
    trained = None if shape.pooling is None else shape.pooling.longest_input
    return asked or min(longest, trained or longest)


def _max_num_batched_tokens(config: ServeConfig, max_model_len: int, max_num_seqs: int, chunked: bool) -> int:
    """Unset, it grows to what must fit one step. That a set one covers the running requests is a rule of the
    configuration; here the model's context joins in."""
    asked = config.scheduler.max_num_batched_tokens
    if asked is not None and not chunked and asked < max_model_len:
        raise SettingsError(
            f"--max-num-batched-tokens {asked} is less than the context of {max_model_len} tokens, and without "
            f"chunked prefill a prompt must fit one step. Raise it to at least {max_model_len}, lower "
            "--max-model-len, or remove --no-enable-chunked-prefill where that is given."
        )
    num_stages = config.parallel.pipeline_parallel_size
    return token_budget(asked, max_num_seqs, 0 if chunked else max_model_len, num_stages)


def _long_prefill_token_threshold(config: ServeConfig, max_model_len: int) -> int:
    """Prompts side by side need a bound on each, or the first takes the whole step: 4 % of the context, unset."""
    asked = config.scheduler.long_prefill_token_threshold
    if asked > max_model_len:
        raise SettingsError(
            f"--long-prefill-token-threshold {asked} is more than the context of {max_model_len} tokens, so no "
            f"prompt would ever be long; use at most {max_model_len}, or leave it out."
        )
    if not asked and config.scheduler.max_num_partial_prefills > 1:
        return max(1, max_model_len // 25)
    return asked


def _dtype(asked: str, checkpoint: str) -> DataType:
    if asked != "auto":
        return _DATA_TYPES[asked]
    if checkpoint == "float16" and not _computes_float16():
        return "bfloat16"
    return _DATA_TYPES[checkpoint]


def _computes_float16() -> bool:
    """Every CUDA device does; of CPUs those with AVX512-FP16 or Arm's half-precision arithmetic."""
    if glob("/dev/nvidia[0-9]*"):
        return True
    cpuinfo = Path("/proc/cpuinfo")
    flags = cpuinfo.read_text() if cpuinfo.exists() else ""
    return "avx512_fp16" in flags or "asimdhp" in flags
