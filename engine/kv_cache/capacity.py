"""How many blocks the cache gets, and what to tell a user whose context does not fit them."""

import logging

from paddock.engine.kv_cache.cache import KVCache
from paddock.engine.settings import EngineSettings

logger = logging.getLogger(__name__)

MEBIBYTE = 1 << 20


class CacheTooSmallError(MemoryError):
    """The cache cannot hold one sequence of `max_model_len` tokens. The text is meant to be printed."""


def resolve_num_blocks(settings: EngineSettings, bytes_per_block: int, available_bytes: int) -> int:
    """Blocks to allocate on each worker: given by number, else by size, else what profiling left.

    Raises `CacheTooSmallError` when one sequence of the full context would not fit.
    """
    if not bytes_per_block:
        return _blocks_without_memory(settings)
    if settings.num_gpu_blocks_override is not None:
        num_blocks, source = settings.num_gpu_blocks_override, "--num-gpu-blocks-override"
    elif settings.kv_cache_memory_bytes is not None:
        num_blocks, source = settings.kv_cache_memory_bytes // bytes_per_block, "--kv-cache-memory-bytes"
    else:
        num_blocks, source = available_bytes // bytes_per_block, "--gpu-memory-utilization"
    _check_holds_context(settings, num_blocks, bytes_per_block, source)
    return num_blocks


def _blocks_without_memory(settings: EngineSettings) -> int:
    """For an encoder, which keeps nothing: the scheduler's books alone, enough for two steps' inputs in every row."""
    per_step = -(-settings.max_num_batched_tokens // settings.block_size) + settings.max_num_seqs
    return 2 * max(per_step, -(-settings.max_model_len // settings.block_size))


def _check_holds_context(
    settings: EngineSettings, num_blocks: int, bytes_per_block: int, source: str
) -> None:
    num_tokens = max(num_blocks, 0) * settings.block_size
    if num_tokens >= settings.max_model_len:
        return
    needed = -(-settings.max_model_len // settings.block_size)
    largest = (
        f"The largest --max-model-len that fits is {num_tokens}." if num_tokens else "Not one block fits."
    )
    raise CacheTooSmallError(
        f"the KV cache holds {num_tokens} tokens ({max(num_blocks, 0)} blocks of {settings.block_size}), but "
        f"--max-model-len is {settings.max_model_len}, which takes {needed} blocks or "
        f"{needed * bytes_per_block / MEBIBYTE:.1f} MiB. {largest} Lower --max-model-len or raise {source}"
        f"{'' if source == '--num-gpu-blocks-override' else ', or give the pod more memory'}."
    )


def log_swap_space(cache: KVCache) -> None:
    if cache.swap_space.num_blocks:
        num_tokens = cache.swap_space.num_blocks * cache.block_size
        logger.info("host memory takes the blocks of preempted requests, up to %d tokens", num_tokens)


def log_memory(settings: EngineSettings, num_blocks: int, held: tuple[int, int], step_bytes: int) -> None:
    """What the memory is for, and how much the cache allows. `held` is as `Executor.held_bytes` says."""
    weights, block = held
    num_tokens = num_blocks * settings.block_size
    logger.info(
        "memory: weights %.1f MiB, KV cache %.1f MiB, and %.1f MiB on each device for the largest step; "
        "%d blocks of %d tokens, %d tokens of cache: %.1f requests of the full %d tokens at once",
        weights / MEBIBYTE,
        num_blocks * block / MEBIBYTE,
        step_bytes / MEBIBYTE,
        num_blocks,
        settings.block_size,
        num_tokens,
        num_tokens / settings.max_model_len,
        settings.max_model_len,
    )
