"""A step without memory: what fits in parts is computed, what does not fit alone fails, and nobody else notices."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import run_short_of_memory

from paddock.engine.executor.plan import NewRow, SampledRow, ScheduledRow, StepPlan, StepResult
from paddock.engine.sampling.params import SamplingParams
from paddock.engine.shortage import NO_MEMORY
from paddock.engine.worker.rows import RowTable
from paddock.engine.worker.step_parts import in_parts


def test_an_engine_cut_short_of_memory_gives_every_request_the_same_tokens(tmp_path: Path) -> None:
    program = run_short_of_memory.__file__
    answer = subprocess.run(
        [sys.executable, program, str(tmp_path), "40"],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(program).parent)},
        capture_output=True,
        check=True,
    )
    seen = json.loads(answer.stdout)

    assert seen["short"] == seen["at_ease"]
    assert all(len(tokens) == 6 for run in seen["short"] for tokens in run.values())
    assert any("find no memory and are halved: " in line for line in seen["logged"])


class Scarce:
    """A computation that finds no memory for more than `most` tokens, nor for a row in `hopeless`."""

    def __init__(self, most: int, hopeless: int | None = None) -> None:
        self.most, self.hopeless, self.done = most, hopeless, []

    def __call__(self, plan: StepPlan) -> StepResult:
        tokens = sum(scheduled.num_scheduled_tokens for scheduled in plan.scheduled)
        if tokens > self.most or self.hopeless in {scheduled.row for scheduled in plan.scheduled}:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")
        self.done += [
            (s.row, s.num_computed_tokens, s.num_scheduled_tokens, s.samples) for s in plan.scheduled
        ]
        return StepResult(plan.step, [SampledRow(s.row, 7) for s in plan.scheduled if s.samples])


@pytest.fixture
def rows() -> RowTable:
    table = RowTable(4, 64, 4)
    for row, blocks in ((0, [5, 6, 7]), (1, [8])):
        table.enter(NewRow(row, "a", [1] * 4 * len(blocks), 4 * len(blocks), SamplingParams(max_tokens=1)))
        table.extend_blocks(ScheduledRow(row, 0, 1, blocks, samples=False))
    return table


PLAN = StepPlan(
    3, [], [], [ScheduledRow(0, 5, 7, [6, 7], samples=True), ScheduledRow(1, 3, 1, [], samples=True)]
)


def test_rows_and_then_a_prompt_are_halved_until_they_fit(rows) -> None:
    scarce = Scarce(most=4)

    result = in_parts(scarce, PLAN, rows, splits_prompts=True)

    assert scarce.done == [(0, 5, 3, False), (0, 8, 4, True), (1, 3, 1, True)]
    assert result == StepResult(3, [SampledRow(0, 7), SampledRow(1, 7)])


def test_a_prompt_that_sees_both_ways_is_not_split_and_fails_with_the_blocks_it_left_unwritten(rows) -> None:
    result = in_parts(Scarce(most=4), PLAN, rows, splits_prompts=False)

    assert [(each.row, each.error) for each in result.sampled] == [(0, NO_MEMORY), (1, None)]
    assert [(each.row, each.block_ids) for each in result.failed] == [(0, [6, 7])]


def test_what_is_no_lack_of_memory_is_raised(rows) -> None:
    def broken(plan: StepPlan) -> StepResult:
        raise RuntimeError("a shape mismatch")

    with pytest.raises(RuntimeError, match="mismatch"):
        in_parts(broken, PLAN, rows, splits_prompts=True)
