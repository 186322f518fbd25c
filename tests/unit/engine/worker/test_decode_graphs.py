"""Which recorded step a batch gets, what fills it up, and what becomes of a size that cannot be recorded."""

import logging
from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rerun_recorder import RerunRecorder

from paddock.engine.executor.plan import NewRow, ScheduledRow
from paddock.engine.layers.placement import Placement
from paddock.engine.sampling.params import SamplingParams
from paddock.engine.settings import EngineSettings
from paddock.engine.worker.batch import StepBatch, build_batch
from paddock.engine.worker.decode_graphs import DecodeGraphs
from paddock.engine.worker.rows import RowTable
from paddock.engine.worker.static_inputs import StaticInputs

BLOCK_SIZE, CONTEXT, ROWS = 4, 32, 24
PLACE = Placement(torch.float32, torch.device("cpu"))


class Echo(torch.nn.Module):
    """In place of hidden states, what attention is told of each row."""

    def forward(self, token_ids, positions, metadata, incoming=None):
        self.sizes = [*getattr(self, "sizes", []), len(token_ids)]
        assert metadata.cu_seqlens.tolist() == list(range(len(token_ids) + 1))
        assert metadata.num_decodes == len(token_ids) == len(metadata.block_table)
        used = metadata.block_table.gather(1, positions[:, None] // BLOCK_SIZE)
        columns = (token_ids, positions, metadata.seq_lens, metadata.slot_mapping, used[:, 0])
        return torch.stack([column.float() for column in columns], dim=1)


def graphs_of(sizes, recorder=None, model=None, place=PLACE, **changes) -> DecodeGraphs:
    values = EngineSettings(
        max_model_len=CONTEXT,
        dtype="float32",
        vocab_size=50,
        eos_token_ids=(),
        block_size=BLOCK_SIZE,
        max_num_seqs=ROWS,
        max_num_batched_tokens=64,
        max_waiting=1,
        graph_sizes=tuple(sizes),
        **changes,
    )
    inputs = StaticInputs(model or Echo(), max(sizes), CONTEXT // BLOCK_SIZE, 5, place)
    graphs = DecodeGraphs(inputs, recorder or RerunRecorder(), values, place)
    graphs.capture(values.graph_sizes, 10)
    return graphs


@pytest.fixture(autouse=True)
def without_gradients() -> Iterator[None]:
    """As a worker's steps are."""
    with torch.inference_mode():
        yield


def batch_of(lengths, chunk=1) -> StepBatch:
    """Row `i` has computed all but `chunk` of its `lengths[i]` tokens."""
    table, scheduled = RowTable(ROWS, CONTEXT, BLOCK_SIZE), []
    for row, length in enumerate(lengths):
        tokens = [(row * 13 + i) % 50 for i in range(length)]
        blocks = [row * 8 + i for i in range(-(-length // BLOCK_SIZE))]
        table.enter(NewRow(row, "r", tokens, length, SamplingParams(max_tokens=1)))
        scheduled.append(ScheduledRow(row, length - chunk, chunk, blocks, samples=True))
        table.extend_blocks(scheduled[-1])
    return build_batch(scheduled, table, torch.device("cpu"))


@settings(max_examples=40)
@given(
    sizes=st.sets(st.integers(1, ROWS), min_size=1),
    steps=st.lists(st.lists(st.integers(1, CONTEXT), min_size=1, max_size=ROWS), min_size=1, max_size=4),
)
def test_a_step_gets_the_smallest_size_that_holds_it_and_tells_the_model_what_an_eager_one_would(
    sizes, steps
) -> None:
    model = Echo()
    graphs = graphs_of(sorted(sizes), model=model)

    for lengths in steps:
        batch = batch_of(lengths)
        found = graphs.replay(batch, None)
        holding = [size for size in sizes if size >= len(lengths)]
        if not holding:
            assert found is None
            continue
        assert model.sizes[-1] == min(holding)
        assert torch.equal(found, Echo()(batch.token_ids, batch.positions, batch.metadata))


def test_rows_that_fill_up_a_batch_write_nowhere_and_read_one_position() -> None:
    graphs = graphs_of([8])
    graphs.replay(batch_of([9, 3]), None)

    filled = graphs._inputs.compute(8)[2:]

    assert filled[:, :4].tolist() == [[0, 0, 1, -1]] * 6


def test_a_step_with_a_prompt_s_chunk_is_left_to_the_model() -> None:
    assert graphs_of([1, 4]).replay(batch_of([9, 3], chunk=2), None) is None


class Refusing(RerunRecorder):
    def record(self, step, num_warmups):
        if step().shape[0] == 4:
            raise RuntimeError("operation not permitted when stream is capturing\nand more")
        return super().record(step, num_warmups)


class Frozen(RerunRecorder):
    """Keeps what it saw when it was recorded."""

    def record(self, step, num_warmups):
        result = step().clone()
        return lambda: result


def test_a_size_that_cannot_be_captured_runs_eagerly_and_the_log_says_why(caplog) -> None:
    with caplog.at_level(logging.WARNING):
        graphs = graphs_of([1, 4, 8], Refusing())

    assert graphs.sizes == [1, 8]
    assert caplog.text.count("eagerly") == 1
    assert (
        "decode steps of up to 4 requests run eagerly, since no CUDA graph can stand for them: operation not permitted when "
        "stream is capturing. With --enforce-eager none is tried."
    ) in caplog.text


def test_a_recording_that_keeps_its_first_numbers_is_found_out(caplog) -> None:
    graphs = graphs_of([1, 4], Frozen())

    assert graphs.sizes == []
    assert graphs.replay(batch_of([3]), None) is None
    assert "up to 1 and 4 requests run eagerly" in caplog.text
    assert "gives other numbers" in caplog.text


@pytest.mark.parametrize("warmups", [1, 3])
def test_a_step_is_run_as_often_as_asked_before_it_is_captured(warmups) -> None:
    model = Echo()

    graphs_of([2], model=model, graph_warmups=warmups)

    # The capture itself, the step to compare with, and the replay.
    assert model.sizes == [2] * (warmups + 3)


class TroubledPeer:
    """A tensor-parallel peer for whom the sums of `troubled` calls come out as a failure."""

    def __init__(self, *troubled: int) -> None:
        self.troubled, self.num_sums = troubled, 0

    def all_reduce(self, x: torch.Tensor) -> None:
        self.num_sums += 1
        x += self.num_sums in self.troubled


def test_what_one_rank_cannot_record_no_rank_replays(caplog) -> None:
    """Two sums a size that is captured, one for the capture and one for the comparison; the largest size comes first."""
    peer = TroubledPeer(2, 3)
    recorder = RerunRecorder()
    place = Placement(torch.float32, torch.device("cpu"), size=2, group=peer)

    graphs = graphs_of([1, 2, 4], recorder, place=place)

    assert graphs.sizes == [1]
    assert (peer.num_sums, recorder.num_replays) == (2 + 1 + 2, 2)
    assert "up to 2 and 4 requests run eagerly" in caplog.text
    assert "it failed on another rank" in caplog.text


def test_a_rank_that_fails_says_so_to_the_others() -> None:
    peer = TroubledPeer()
    place = Placement(torch.float32, torch.device("cpu"), size=2, group=peer)

    assert graphs_of([4], Refusing(), place=place).sizes == []
    assert peer.num_sums == 1
