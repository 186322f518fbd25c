"""How many blocks the cache gets, and what to tell a user whose context does not fit them."""

import logging

from paddock.engine.settings import EngineSettings

logger = logging.getLogger(__name__)

MEBIBYTE = 1 << 20


class CacheTooSmallError(MemoryError):
    """The cache cannot hold one sequence of `max_model_len` tokens. The text is meant to be printed."""


def resolve_num_blocks(settings: EngineSettings, bytes_per_block: int, available_bytes: int) -> int:
    """Blocks to allocate on each worker: given by number, else by size, else what profiling left.

    Raises `CacheTooSmallError` when one sequence of the full context would not fit.
    """
    if settings.num_gpu_blocks_override is not None:
        num_blocks, source = settings.num_gpu_blocks_override, "--num-gpu-blocks-override"
    elif settings.kv_cache_memory_bytes is not None:
        num_blocks, source = settings.kv_cache_memory_bytes // bytes_per_block, "--kv-cache-memory-bytes"
    else:
        num_blocks, source = available_bytes // bytes_per_block, "--gpu-memory-utilization"
    _check_holds_context(settings, num_blocks, bytes_per_block, source)
    _log_capacity(settings, num_blocks, bytes_per_block)
    return num_blocks


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


def _log_capacity(settings: EngineSettings, num_blocks: int, bytes_per_block: int) -> None:
    num_tokens = num_blocks * settings.block_size
    logger.info(
        "KV cache: %d blocks of %d tokens, %d tokens in %.1f MiB; %.1f requests of the full %d tokens at once",
        num_blocks,
        settings.block_size,
        num_tokens,
        num_blocks * bytes_per_block / MEBIBYTE,
        num_tokens / settings.max_model_len,
        settings.max_model_len,
    )
