"""What the engine derives from the arguments and the model: the values in force, in one frozen object. Torch-free."""

from dataclasses import dataclass
from glob import glob
from pathlib import Path
from typing import Literal

from paddock.engine.config import DEFAULT_MAX_NUM_BATCHED_TOKENS, DEFAULT_MAX_NUM_SEQS, ServeConfig
from paddock.engine.models.shape import ModelShape
from paddock.engine.scheduler.policy import PolicyName

DataType = Literal["float32", "bfloat16", "float16"]

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

    enable_prefix_caching: bool = True
    enable_chunked_prefill: bool = True
    scheduling_policy: PolicyName = "fcfs"
    seed: int = 0
    """Of the seeds drawn for requests without their own, and of dummy weights."""

    device: Literal["cuda", "cpu"] | None = None
    """None leaves the choice to the worker: CUDA where torch sees a device, else the CPU."""

    gpu_memory_utilization: float = 0.9
    kv_cache_memory_bytes: int | None = None
    num_gpu_blocks_override: int | None = None

    @staticmethod
    def resolve(config: ServeConfig, shape: ModelShape) -> "EngineSettings":
        """Raises `SettingsError` for arguments that contradict the model or each other."""
        chunked = config.scheduler.enable_chunked_prefill is not False
        max_model_len = _max_model_len(config, shape)
        max_num_seqs = config.scheduler.max_num_seqs or DEFAULT_MAX_NUM_SEQS
        return EngineSettings(
            max_model_len=max_model_len,
            dtype=_dtype(config.model.dtype, shape.torch_dtype),
            vocab_size=shape.vocab_size,
            eos_token_ids=shape.eos_token_ids,
            block_size=config.cache.block_size or DEFAULT_BLOCK_SIZE,
            max_num_seqs=max_num_seqs,
            max_num_batched_tokens=_max_num_batched_tokens(config, max_model_len, chunked),
            max_waiting=WAITING_PER_ROW * max_num_seqs,
            enable_prefix_caching=config.cache.enable_prefix_caching is not False,
            enable_chunked_prefill=chunked,
            scheduling_policy=config.scheduler.scheduling_policy,
            seed=config.model.seed or 0,
            gpu_memory_utilization=config.cache.gpu_memory_utilization,
            kv_cache_memory_bytes=config.cache.kv_cache_memory_bytes,
            num_gpu_blocks_override=config.cache.num_gpu_blocks_override,
        )


def _max_model_len(config: ServeConfig, shape: ModelShape) -> int:
    asked, longest = config.model.max_model_len, shape.max_position_embeddings
    if asked is not None and asked > longest:
        raise SettingsError(
            f"--max-model-len {asked} is more than the {longest} positions the model was made for "
            f"(max_position_embeddings in its config.json); use at most {longest}."
        )
    return asked or longest


def _max_num_batched_tokens(config: ServeConfig, max_model_len: int, chunked: bool) -> int:
    """That it covers the running requests is a rule of the configuration; here the model's context joins in."""
    asked = config.scheduler.max_num_batched_tokens
    if chunked:
        return asked or DEFAULT_MAX_NUM_BATCHED_TOKENS
    tokens = asked or max(DEFAULT_MAX_NUM_BATCHED_TOKENS, max_model_len)
    if tokens < max_model_len:
        raise SettingsError(
            f"--max-num-batched-tokens {tokens} is less than the context of {max_model_len} tokens, and without "
            f"chunked prefill a prompt must fit one step. Raise it to at least {max_model_len}, lower "
            "--max-model-len, or remove --no-enable-chunked-prefill."
        )
    return tokens


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
