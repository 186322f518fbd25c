"""How many blocks there are, and what is said when they are too few."""

import logging

import pytest

from paddock.engine.kv_cache.capacity import CacheTooSmallError, log_memory, resolve_num_blocks
from paddock.engine.settings import EngineSettings


def settings(**fields: object) -> EngineSettings:
    sizes = {"max_model_len": 100, "block_size": 16, "max_num_seqs": 4, "max_num_batched_tokens": 64}
    return EngineSettings(
        dtype="float32", vocab_size=10, eos_token_ids=(), max_waiting=4, **{**sizes, **fields}
    )


def test_what_profiling_left_is_cut_to_whole_blocks() -> None:
    assert resolve_num_blocks(settings(), bytes_per_block=1000, available_bytes=20_999) == 20


def test_bytes_chosen_by_hand_come_before_what_profiling_left() -> None:
    assert resolve_num_blocks(settings(kv_cache_memory_bytes=9_500), 1000, 20_000) == 9


def test_a_number_of_blocks_comes_before_both() -> None:
    chosen = settings(kv_cache_memory_bytes=9_500, num_gpu_blocks_override=7)

    assert resolve_num_blocks(chosen, 1000, 20_000) == 7


def test_a_cache_that_just_holds_the_context_is_enough() -> None:
    assert resolve_num_blocks(settings(max_model_len=112, num_gpu_blocks_override=7), 1000, 0) == 7


@pytest.mark.parametrize(
    ("fields", "available", "argument", "largest"),
    [
        ({}, 6_500, "--gpu-memory-utilization", 96),
        ({"kv_cache_memory_bytes": 3_000}, 90_000, "--kv-cache-memory-bytes", 48),
        ({"num_gpu_blocks_override": 2}, 90_000, "--num-gpu-blocks-override", 32),
    ],
)
def test_a_cache_too_small_names_the_context_that_fits_and_the_argument(
    fields, available, argument, largest
) -> None:
    with pytest.raises(CacheTooSmallError) as raised:
        resolve_num_blocks(settings(**fields), 1000, available)

    text = str(raised.value)
    assert f"largest --max-model-len that fits is {largest}." in text
    assert f"raise {argument}" in text
    assert "--max-model-len is 100, which takes 7 blocks" in text


def test_no_memory_at_all_is_said_as_such() -> None:
    with pytest.raises(CacheTooSmallError, match="Not one block fits"):
        resolve_num_blocks(settings(), 1000, available_bytes=-5)


def test_the_log_says_what_the_memory_is_for_and_how_many_full_requests_fit(caplog) -> None:
    with caplog.at_level(logging.INFO):
        log_memory(settings(), 20, (3 << 20, 1 << 20), 5 << 20)

    assert (
        "memory: weights 3.0 MiB, KV cache 20.0 MiB, and 5.0 MiB on each device for the largest step; "
        "20 blocks of 16 tokens, 320 tokens of cache: 3.2 requests of the full 100 tokens at once"
    ) in caplog.text
