"""A step's inputs, against the same built token by token."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from paddock.engine.executor.plan import NewRow, ScheduledRow
from paddock.engine.sampling.params import SamplingParams
from paddock.engine.worker.batch import build_batch
from paddock.engine.worker.rows import RowTable

SAMPLING = SamplingParams(max_tokens=1)


@st.composite
def steps(draw):
    """Rows with a known number of tokens, some computed, and a chunk of the rest scheduled."""
    block_size = draw(st.sampled_from([1, 4, 16]))
    rows = draw(st.lists(st.integers(0, 11), min_size=1, max_size=8, unique=True))
    scheduled = []
    for row in rows:
        known = draw(st.integers(1, 60))
        computed = draw(st.integers(0, known - 1))
        count = draw(st.one_of(st.just(1), st.integers(1, known - computed)))
        scheduled.append((row, known, computed, count))
    return block_size, scheduled


@given(steps())
def test_inputs_are_those_built_token_by_token(step):
    block_size, given_rows = step
    table = RowTable(12, 64, block_size)
    block_ids = iter(np.random.default_rng(0).permutation(2000).tolist())
    plan, tokens_of, blocks_of = [], {}, {}
    for row, known, computed, count in given_rows:
        tokens_of[row] = [row * 1000 + i for i in range(known)]
        blocks_of[row] = [next(block_ids) for _ in range(-(-(computed + count) // block_size))]
        table.enter(NewRow(row, str(row), tokens_of[row], known, SAMPLING))
        plan.append(ScheduledRow(row, computed, count, blocks_of[row], computed + count == known))
        table.extend_blocks(plan[-1])

    batch = build_batch(plan, table, torch.device("cpu"))

    ordered = sorted(plan, key=lambda s: s.num_scheduled_tokens > 1)
    pairs = [
        (s.row, p)
        for s in ordered
        for p in range(s.num_computed_tokens, s.num_computed_tokens + s.num_scheduled_tokens)
    ]
    metadata = batch.metadata
    assert batch.token_ids.tolist() == [tokens_of[row][p] for row, p in pairs]
    assert batch.positions.tolist() == [p for _, p in pairs]
    assert metadata.slot_mapping.tolist() == [
        blocks_of[row][p // block_size] * block_size + p % block_size for row, p in pairs
    ]
    assert metadata.query_lens_host == [s.num_scheduled_tokens for s in ordered]
    assert metadata.seq_lens_host == [s.num_computed_tokens + s.num_scheduled_tokens for s in ordered]
    assert metadata.cu_seqlens.tolist() == [0, *np.cumsum(metadata.query_lens_host).tolist()]
    assert metadata.num_decodes == sum(s.num_scheduled_tokens == 1 for s in plan)
    assert metadata.max_query_len == max(metadata.query_lens_host)
    for s, blocks in zip(ordered, metadata.block_table.tolist(), strict=True):
        assert blocks[: len(blocks_of[s.row])] == blocks_of[s.row]
    sampling = [s for s in plan if s.samples]
    assert batch.sampled_rows.tolist() == [s.row for s in sampling]
    assert [pairs[i] for i in batch.sampled_tokens.tolist()] == [
        (s.row, len(tokens_of[s.row]) - 1) for s in sampling
    ]
    assert [pairs[i] for i in batch.first_tokens.tolist()] == [(s.row, s.num_computed_tokens) for s in plan]


def test_blocks_and_tokens_grow_where_they_ended():
    table = RowTable(3, 8, 2)
    table.enter(NewRow(1, "r", [5, 6, 7], 3, SAMPLING))
    table.extend_blocks(ScheduledRow(1, 0, 3, [9, 4], True))

    table.append(np.array([1]), np.array([8]))
    table.extend_blocks(ScheduledRow(1, 3, 1, [], True))
    table.append(np.array([1]), np.array([3]))
    table.extend_blocks(ScheduledRow(1, 4, 1, [2], True))

    assert table.token_ids[1, : table.num_tokens[1]].tolist() == [5, 6, 7, 8, 3]
    assert table.block_table[1, : table.num_blocks[1]].tolist() == [9, 4, 2]


def test_a_row_can_fill_the_whole_context():
    table = RowTable(1, 4, 2)
    table.enter(NewRow(0, "r", [1, 2, 3, 4], 4, SAMPLING))

    table.append(np.array([0]), np.array([5]))

    assert table.num_tokens[0] == 5
