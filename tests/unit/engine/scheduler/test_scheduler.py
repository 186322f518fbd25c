"""Single decisions of the scheduler, on lists alone. Their sum is tested by the state machine of the core."""

from dataclasses import replace

import pytest

from paddock.engine.executor.plan import RowPromptLogprobs, SampledRow, StepPlan, StepResult
from paddock.engine.kv_cache.cache import KVCache
from paddock.engine.sampling.params import SamplingParams
from paddock.engine.scheduler.ranked_list import RankedList
from paddock.engine.scheduler.request import Request
from paddock.engine.scheduler.scheduler import Scheduler
from paddock.engine.settings import EngineSettings

SETTINGS = EngineSettings(
    max_model_len=1000,
    dtype="float32",
    vocab_size=100,
    eos_token_ids=(),
    block_size=4,
    max_num_seqs=4,
    max_num_batched_tokens=16,
    max_waiting=100,
)


def scheduler(num_blocks: int = 16, **limits: int) -> Scheduler:
    return Scheduler(KVCache(num_blocks, 4, prefix_caching=True), replace(SETTINGS, **limits), 1)


def add(
    scheduler: Scheduler, age: int, prompt: list[int], max_tokens: int = 40, **sampling: object
) -> Request:
    request = Request(
        client=b"",
        request_id=str(age),
        token_ids=prompt,
        num_prompt_tokens=len(prompt),
        sampling=SamplingParams(max_tokens=max_tokens, **sampling),
        table=scheduler.cache.new_table(),
        rank=(age,),
        max_length=len(prompt) + max_tokens,
        eos_token_ids=frozenset(),
        ending_token_ids=frozenset(),
    )
    scheduler.add(request)
    return request


def step(scheduler: Scheduler) -> StepPlan:
    plan = scheduler.schedule()
    scheduler.update(StepResult(plan.step, [SampledRow(row.row, 7) for row in plan.scheduled if row.samples]))
    return plan


def tokens_by_row(plan: StepPlan) -> dict[int, int]:
    return {row.row: row.num_scheduled_tokens for row in plan.scheduled}


def test_running_requests_come_first_and_the_rest_of_the_budget_is_a_chunk() -> None:
    it = scheduler(max_num_batched_tokens=8)
    add(it, 1, [1] * 3)
    step(it)
    add(it, 2, [2] * 20)

    assert tokens_by_row(step(it)) == {0: 1, 1: 7}


def test_a_chunk_leaves_a_token_for_each_request_behind_it() -> None:
    it = scheduler(max_num_batched_tokens=8)
    add(it, 2, [1])
    add(it, 3, [2])
    step(it)
    add(it, 1, [3] * 30)
    step(it)

    assert tokens_by_row(it.schedule()) == {2: 6, 0: 1, 1: 1}


def test_a_request_gets_the_lowest_row_and_leaves_it_to_the_next() -> None:
    it = scheduler()
    requests = [add(it, age, [age] * 2, max_tokens=1 if age == 1 else 9) for age in range(3)]
    step(it)
    assert [request.row for request in requests] == [0, -1, 2]

    late = add(it, 9, [9])
    plan = it.schedule()

    assert plan.freed_rows == [1]
    assert [new.row for new in plan.new_rows] == [late.row] == [1]


def test_nobody_is_admitted_before_the_blocks_of_the_whole_prompt_are_there() -> None:
    it = scheduler(num_blocks=8)
    add(it, 1, [1] * 16)
    step(it)
    add(it, 2, [2] * 20)
    small = add(it, 3, [3])

    assert not step(it).new_rows
    assert small.row == -1


def test_admission_takes_all_blocks_of_a_prompt_in_its_first_step() -> None:
    it = scheduler(max_num_batched_tokens=4)
    add(it, 1, [1] * 14)

    tables = [step(it).scheduled[0].new_block_ids for _ in range(4)]

    assert [len(blocks) for blocks in tables] == [4, 0, 0, 0]


def test_admission_leaves_the_watermark_free_unless_nothing_runs() -> None:
    it = scheduler(num_blocks=200, max_num_batched_tokens=1000)
    add(it, 1, [1] * 4 * 197)
    assert step(it).new_rows
    add(it, 2, [2] * 4)
    assert not step(it).new_rows

    alone = scheduler(num_blocks=200, max_num_batched_tokens=1000)
    add(alone, 1, [1] * 4 * 200)
    assert step(alone).new_rows


def test_the_youngest_gives_way_and_nobody_is_admitted_in_that_step() -> None:
    it = scheduler(num_blocks=4)
    old, young = add(it, 1, [1] * 8), add(it, 2, [2] * 6)
    waiting = add(it, 3, [3])
    step(it)
    assert (young.row, waiting.row) == (1, -1)

    plan = it.schedule()

    assert tokens_by_row(plan) == {old.row: 1}
    assert plan.freed_rows == [1]
    assert not plan.new_rows
    assert [request.request_id for request in it.waiting] == ["2", "3"]
    assert (young.num_computed_tokens, young.num_preemptions, young.table.block_ids) == (0, 1, [])


def test_a_preempted_request_returns_as_a_new_row_with_all_it_knew() -> None:
    it = scheduler(num_blocks=4)
    old, young = add(it, 1, [1] * 8, max_tokens=2), add(it, 2, [2] * 6)
    step(it)
    step(it)
    assert old.row == -1
    assert young.row == -1

    [new] = it.schedule().new_rows

    assert (new.request_id, new.token_ids, new.num_prompt_tokens) == ("2", [2] * 6 + [7], 6)


def test_prompt_logprobs_of_a_lost_first_attempt_are_not_reported_twice() -> None:
    it = scheduler(num_blocks=6, max_num_batched_tokens=12)
    add(it, 1, [1] * 8)
    request = add(it, 2, [2] * 16, prompt_logprobs=0)
    plan = it.schedule()
    it.update(StepResult(plan.step, [SampledRow(0, 7)], [RowPromptLogprobs(1, 1, [[], []])]))
    assert request.prompt_logprobs

    it.schedule()

    assert request.num_preemptions == 1
    assert request.prompt_logprobs == []


def test_an_answer_that_nobody_asked_for_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="a step that is not under way"):
        scheduler().update(StepResult(1, [SampledRow(3, 7)]))


def test_a_ranked_list_is_sorted_and_removes_only_what_it_holds() -> None:
    it, ranked = scheduler(), RankedList()
    requests = [add(it, age, [1]) for age in (2, 3, 1)]
    for request in requests[:2]:
        ranked.add(request)

    with pytest.raises(ValueError, match="request 1 is not in the list"):
        ranked.remove(requests[2])
    ranked.remove(requests[0])

    assert list(ranked) == [requests[1]]
