from dataclasses import replace
from typing import TypedDict, Unpack

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from paged_batch import Heads, PagedBatch, random_batch

from paddock.kernels import AttentionMetadata, paged_attention
from paddock.kernels.paged_attention import cpu, reference

TOLERANCE = {torch.float32: {"rtol": 1e-5, "atol": 2e-6}, torch.bfloat16: {"rtol": 2**-7, "atol": 1e-3}}
DTYPES = pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
# Decodes of many lengths (over one and several chunks), then prompt chunks with and without context.
MIXED = ([1, 1, 1, 1, 1, 40, 7, 1, 111], [1, 17, 63, 700, 1500, 111, 7, 64, 640])


class Extras(TypedDict, total=False):
    softcap: float
    sinks: torch.Tensor


def run(batch: PagedBatch, **extras: Unpack[Extras]) -> torch.Tensor:
    inputs = (batch.query, batch.key_cache, batch.value_cache, batch.metadata, batch.scale)
    return paged_attention(*inputs, **extras)


def define(batch: PagedBatch, **extras: Unpack[Extras]) -> torch.Tensor:
    inputs = (batch.query, batch.key_cache, batch.value_cache, batch.metadata, batch.scale)
    return reference.paged_attention(*inputs, **extras)


@DTYPES
@pytest.mark.parametrize("sliding_window", [None, 1, 50])
@pytest.mark.parametrize(
    ("heads", "block_size"),
    [
        (Heads(4, 2, 64), 16),
        (Heads(14, 2, 80), 8),
        (Heads(7, 1, 128), 1),
        (Heads(2, 2, 96), 32),
        (Heads(40, 1, 576), 16),
    ],
    ids=str,
)
def test_a_mixed_batch_agrees_with_the_definition(
    heads: Heads, block_size: int, sliding_window: int | None, dtype: torch.dtype, instruction_set: str
) -> None:
    batch = random_batch(*MIXED, heads, block_size, dtype, sliding_window)
    assert cpu.handles(batch.query, batch.key_cache)

    torch.testing.assert_close(run(batch), define(batch), **TOLERANCE[dtype])


@DTYPES
@pytest.mark.parametrize("sliding_window", [None, 50])
@pytest.mark.parametrize(("softcap", "with_sinks"), [(3.0, False), (0.0, True), (50.0, True)])
@pytest.mark.parametrize(
    "heads", [Heads(4, 2, 64), Heads(10, 1, 256), Heads(6, 6, 80), Heads(5, 1, 16)], ids=str
)
def test_capped_scores_and_sinks_agree_with_the_definition(
    heads: Heads,
    softcap: float,
    with_sinks: bool,
    sliding_window: int | None,
    dtype: torch.dtype,
    instruction_set: str,
) -> None:
    batch = random_batch(*MIXED, heads, 16, dtype, sliding_window)
    extras: Extras = {"softcap": softcap}
    if with_sinks:
        extras["sinks"] = torch.linspace(-9, 12, heads.query)
    assert cpu.handles(batch.query, batch.key_cache)

    torch.testing.assert_close(run(batch, **extras), define(batch, **extras), **TOLERANCE[dtype])


@pytest.mark.parametrize("seq_lens", [([1], [1500]), ([40], [40])], ids=["decode", "prompt"])
def test_scores_and_sinks_of_any_size_neither_overflow_nor_turn_to_nan(
    seq_lens: tuple[list[int], list[int]], instruction_set: str
) -> None:
    batch = random_batch(*seq_lens, Heads(4, 1, 32))
    sinks = torch.tensor([-torch.inf, -1e30, 80.0, 1e30])
    huge = replace(batch, query=batch.query * 1e30)

    with_sinks, capped = run(batch, sinks=sinks), run(huge, softcap=30.0)

    torch.testing.assert_close(with_sinks, define(batch, sinks=sinks), **TOLERANCE[torch.float32])
    assert torch.equal(with_sinks[:, :2], run(batch)[:, :2])
    assert not with_sinks[:, 3].any()
    torch.testing.assert_close(capped, define(huge, softcap=30.0), **TOLERANCE[torch.float32])


def test_the_definition_agrees_with_pytorch_attention() -> None:
    batch = random_batch([33], [33], Heads(4, 2, 32), block_size=4)
    key, value = (
        reference.gather_sequence(cache, batch.metadata.block_table[0], 33)
        for cache in (batch.key_cache, batch.value_cache)
    )

    expected = torch.nn.functional.scaled_dot_product_attention(
        batch.query.transpose(0, 1), key, value, is_causal=True, enable_gqa=True
    )

    torch.testing.assert_close(define(batch), expected.transpose(0, 1))


def test_a_softcap_bounds_the_scores_before_the_mask() -> None:
    batch = random_batch([33], [33], Heads(4, 2, 32), block_size=4, sliding_window=7)
    inputs = (batch.query * 20, batch.key_cache, batch.value_cache, batch.metadata, batch.scale)
    key, value = (
        reference.gather_sequence(cache, batch.metadata.block_table[0], 33).repeat_interleave(2, 0)
        for cache in (batch.key_cache, batch.value_cache)
    )
    scores = 2 * torch.tanh(torch.einsum("qhd,hkd->hqk", inputs[0], key) * batch.scale / 2)
    seen = torch.ones(33, 33, dtype=torch.bool).tril().triu(-6)

    expected = torch.einsum("hqk,hkd->qhd", scores.where(seen, -torch.inf).softmax(-1), value)

    torch.testing.assert_close(paged_attention(*inputs, softcap=2.0), expected)


def test_a_sink_takes_weight_as_a_key_without_a_value_would() -> None:
    batch = random_batch([33], [33], Heads(4, 2, 32), block_size=4)
    inputs = (batch.query, batch.key_cache, batch.value_cache, batch.metadata, batch.scale)
    sinks = torch.tensor([-50.0, 0.0, 3.0, 50.0])
    key = reference.gather_sequence(batch.key_cache, batch.metadata.block_table[0], 33).repeat_interleave(
        2, 0
    )
    scores = torch.einsum("qhd,hkd->hqk", batch.query, key) * batch.scale
    total = scores.where(torch.ones(33, 33, dtype=torch.bool).tril(), -torch.inf).logsumexp(-1)
    kept = torch.sigmoid(total - sinks[:, None])

    expected = define(batch) * kept.T[..., None]

    torch.testing.assert_close(paged_attention(*inputs, sinks=sinks), expected)


@st.composite
def batches(draw: st.DrawFn) -> PagedBatch:
    lengths = draw(st.lists(st.tuples(st.integers(1, 40), st.integers(0, 140)), min_size=1, max_size=5))
    kv_heads, group = draw(st.integers(1, 3)), draw(st.sampled_from([1, 2, 3, 4, 7]))
    return random_batch(
        [query_len for query_len, _ in lengths],
        [query_len + context for query_len, context in lengths],
        Heads(kv_heads * group, kv_heads, draw(st.sampled_from([16, 48, 64]))),
        draw(st.sampled_from([1, 3, 8, 16, 32])),
        draw(st.sampled_from(list(TOLERANCE))),
        draw(st.none() | st.integers(1, 100)),
        seed=draw(st.integers(0, 2**16)),
    )


@given(batch=batches())
@settings(deadline=None, max_examples=60)
def test_any_layout_agrees_with_the_definition(batch: PagedBatch) -> None:
    torch.testing.assert_close(run(batch), define(batch), **TOLERANCE[batch.query.dtype])


@DTYPES
@pytest.mark.parametrize("extended", [False, True], ids=["plain", "capped, with sinks"])
@pytest.mark.parametrize("sliding_window", [None, 70])
@pytest.mark.parametrize("heads", [Heads(4, 2, 64), Heads(8, 1, 48), Heads(20, 2, 32)], ids=str)
def test_a_token_has_the_same_bits_as_a_decode_in_any_chunk_and_in_any_batch(
    heads: Heads, sliding_window: int | None, extended: bool, dtype: torch.dtype
) -> None:
    seq_len = 1100
    whole = random_batch([seq_len], [seq_len], heads, 16, dtype, sliding_window)
    extras: Extras = {"softcap": 2.0, "sinks": torch.linspace(-2, 3, heads.query)} if extended else {}
    expected = run(whole, **extras)

    for first, last in (
        (0, 1),
        (5, 6),
        (63, 64),
        (600, 601),
        (1099, 1100),
        (3, 20),
        (500, 530),
        (1000, 1100),
    ):
        metadata = AttentionMetadata.build(
            [last - first, 2], [last, 2], [whole.block_tables[0]] * 2, 16, sliding_window=sliding_window
        )
        query = torch.cat((whole.query[first:last], whole.query[:2]))
        part = run(replace(whole, query=query, metadata=metadata), **extras)
        assert torch.equal(part[:-2], expected[first:last])


@pytest.mark.usefixtures("one_thread")
def test_the_number_of_threads_changes_no_bit() -> None:
    batch = random_batch(*MIXED, Heads(4, 2, 64))
    alone = run(batch)

    torch.set_num_threads(2)

    assert torch.equal(run(batch), alone)


def test_a_strided_query_and_a_given_output_are_taken() -> None:
    batch = random_batch([1, 9], [30, 9], Heads(4, 2, 32))
    wide = torch.cat((batch.query, batch.query), dim=1)
    out = torch.empty_like(batch.query)

    result = paged_attention(
        wide[:, :4], batch.key_cache, batch.value_cache, batch.metadata, batch.scale, out
    )

    assert result is out
    torch.testing.assert_close(out, define(batch), **TOLERANCE[torch.float32])


def test_shapes_beyond_the_compiled_kernel_take_the_definition() -> None:
    batch = random_batch([1, 5], [9, 5], Heads(2, 1, 20), block_size=4)

    assert not cpu.handles(batch.query, batch.key_cache)
    assert torch.equal(run(batch), define(batch))


def test_metadata_refuses_lengths_that_disagree() -> None:
    with pytest.raises(ValueError, match=r"query_lens\[1\] is 3; it must be 1 to seq_lens\[1\] = 2"):
        AttentionMetadata.build([1, 3], [4, 2], [[0], [1]], 4)
    with pytest.raises(ValueError, match=r"block_tables\[0\] has 1 blocks of 4, too few for 5"):
        AttentionMetadata.build([1], [5], [[0]], 4)


def test_metadata_counts_leading_decodes_and_maps_slots() -> None:
    metadata = AttentionMetadata.build([1, 1, 3, 1], [5, 1, 4, 2], [[2, 0], [1], [5], [3]], 4)

    assert metadata.num_decodes == 2
    assert metadata.cu_seqlens.tolist() == [0, 1, 2, 5, 6]
    assert metadata.slot_mapping.tolist() == [0, 4, 21, 22, 23, 13]
