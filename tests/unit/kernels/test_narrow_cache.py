"""Caches whose elements are not the computation's: bfloat16 beside float32, and 8-bit floats with scales."""

from dataclasses import replace

import pytest
import torch
from paged_batch import Heads, random_batch

from paddock.kernels import AttentionMetadata, CacheScales, cache_write, paged_attention, rotary_cache_write
from paddock.kernels.paged_attention import cpu, reference
from paddock.kernels.rotary_cache_write import reference as rotary_reference

FLOAT8 = (torch.float8_e4m3fn, torch.float8_e5m2)
CACHES = pytest.mark.parametrize("cache_dtype", [*FLOAT8, torch.bfloat16], ids=str)
SCALES = CacheScales(key=0.5, value=0.03)
TOLERANCE = {torch.float32: {"rtol": 1e-5, "atol": 2e-6}, torch.bfloat16: {"rtol": 2**-7, "atol": 1e-3}}
MIXED = ([1, 1, 1, 1, 40, 7, 111], [1, 63, 700, 1500, 111, 7, 640])


@pytest.mark.parametrize("dtype", FLOAT8, ids=str)
def test_every_8_bit_number_is_read_as_pytorch_reads_it(dtype: torch.dtype, instruction_set: str) -> None:
    codes = torch.arange(256, dtype=torch.uint8)
    numbers = codes.view(dtype).float()
    finite = codes.where(numbers.isfinite(), 0)
    cache = finite.view(dtype).view(1, 1, 16, 16)
    query = torch.zeros(16, 1, 16)
    # Each query sees one position alone, whose value it is then given.
    metadata = AttentionMetadata.build([16], [16], [[0]], 16, sliding_window=1)

    out = paged_attention(query, torch.zeros_like(cache), cache, metadata, 1.0)

    assert torch.equal(out.flatten(), finite.view(dtype).float())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@CACHES
def test_the_fused_step_writes_what_the_definition_writes(
    cache_dtype: torch.dtype, dtype: torch.dtype, instruction_set: str
) -> None:
    tokens, kv_heads, dim = 80, 2, 80
    spread = torch.logspace(-8, 4, tokens)[:, None]  # from below the least number to beyond the largest
    qkv = (torch.randn(tokens, (4 + 2 * kv_heads) * dim) * spread).to(dtype)
    angles = torch.randn(tokens, dim // 2)
    slots = torch.randperm(12 * 8)[:tokens]
    slots[::9] = -1
    shape = (12, kv_heads, 8, dim)
    ours, expected = ([torch.zeros(shape).to(cache_dtype) for _ in range(2)] for _ in range(2))

    for run, caches in ((rotary_cache_write, ours), (rotary_reference.rotary_cache_write, expected)):
        run(qkv, angles.cos(), angles.sin(), *caches, slots, scales=SCALES)

    values = [cache[1].view(torch.uint8) for cache in (ours, expected)]
    assert torch.equal(*values)
    keys = [cache[0].float() for cache in (ours, expected)]
    # A sum that differs in its last bit may be rounded to the neighbouring number.
    torch.testing.assert_close(*keys, rtol=0.26 if cache_dtype in FLOAT8 else 2**-7, atol=2**-8)
    assert (keys[0] != keys[1]).float().mean() < 0.01


@pytest.mark.parametrize("dtype", FLOAT8, ids=str)
def test_numbers_beyond_the_largest_are_held_at_it(dtype: torch.dtype) -> None:
    rows = torch.tensor([[[1e9] * 8, [-1e9] * 8]])
    caches = [torch.zeros(1, 2, 4, 8).to(dtype) for _ in range(2)]

    cache_write(rows, rows, *caches, torch.tensor([2]))

    largest = torch.finfo(dtype).max
    assert caches[0].float()[0, :, 2].unique().tolist() == [-largest, largest]


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@CACHES
@pytest.mark.parametrize(
    ("heads", "sliding_window"), [(Heads(4, 2, 64), None), (Heads(14, 2, 80), 50)], ids=str
)
def test_a_mixed_batch_agrees_with_the_definition(
    heads: Heads,
    sliding_window: int | None,
    cache_dtype: torch.dtype,
    dtype: torch.dtype,
    instruction_set: str,
) -> None:
    batch = random_batch(*MIXED, heads, 16, dtype, sliding_window)
    caches = [cache.to(cache_dtype) for cache in (batch.key_cache, batch.value_cache)]
    assert cpu.handles(batch.query, caches[0])
    sinks = torch.linspace(-9, 12, heads.query)
    inputs = (batch.query, *caches, batch.metadata, batch.scale)

    result = paged_attention(*inputs, softcap=3.0, sinks=sinks, scales=SCALES)
    expected = reference.paged_attention(*inputs, softcap=3.0, sinks=sinks, scales=SCALES)

    torch.testing.assert_close(result, expected, **TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", FLOAT8, ids=str)
def test_a_token_has_the_same_bits_as_a_decode_in_any_chunk(dtype: torch.dtype) -> None:
    whole = random_batch([700], [700], Heads(4, 2, 64))
    caches = [cache.to(dtype) for cache in (whole.key_cache, whole.value_cache)]
    expected = paged_attention(whole.query, *caches, whole.metadata, whole.scale, scales=SCALES)

    for first, last in ((0, 1), (63, 64), (600, 601), (3, 20), (500, 530)):
        metadata = AttentionMetadata.build([last - first], [last], whole.block_tables, 16)
        part = replace(whole, query=whole.query[first:last], metadata=metadata)
        result = paged_attention(part.query, *caches, metadata, whole.scale, scales=SCALES)
        assert torch.equal(result, expected[first:last])
