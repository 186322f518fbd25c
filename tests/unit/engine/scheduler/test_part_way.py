"""Prompts part-way through prefill: how many, how many of them long, and who overtakes."""

from collections.abc import Iterator

import pytest

from paddock.engine.executor.plan import SampledRow, StepResult


def steps(make_scheduler, prompts: dict[str, int], **limits: int) -> Iterator[dict[str, int]]:
    """Tokens computed of each prompt (name to length, in the order of arrival) in one step after the other."""
    it = make_scheduler(prompts, **limits)
    while it.num_running + it.num_waiting:
        plan = it.schedule()
        names = {request.row: request.request_id for request in it.running}
        yield {names[row.row]: row.num_scheduled_tokens for row in plan.scheduled}
        sampled = [SampledRow(row.row, 7) for row in plan.scheduled if row.samples]
        it.update(StepResult(plan.step, sampled))


def test_one_prompt_at_a_time_takes_all_of_the_budget(scheduler_of) -> None:
    found = list(steps(scheduler_of, {"a": 20, "b": 20}))

    assert found == [{"a": 16}, {"a": 4, "b": 12}, {"b": 8}]


def test_several_prompts_share_the_steps_when_several_may_be_part_way(scheduler_of) -> None:
    limits = {
        "max_num_partial_prefills": 2,
        "max_long_partial_prefills": 2,
        "long_prefill_token_threshold": 8,
    }

    found = list(steps(scheduler_of, {"a": 20, "b": 20, "c": 20}, **limits))

    assert found[:3] == [{"a": 8, "b": 8}, {"a": 8, "b": 8}, {"a": 4, "b": 4, "c": 8}]


def test_a_threshold_alone_leaves_room_for_short_prompts_beside_a_long_one(scheduler_of) -> None:
    found = list(steps(scheduler_of, {"long": 40, "short": 5}, long_prefill_token_threshold=8))

    assert found[0] == {"long": 8, "short": 5}
    assert [step["long"] for step in found] == [8] * 5


@pytest.mark.parametrize(("most_long", "second"), [(1, {"a": 8, "short": 3}), (2, {"a": 8, "b": 8})])
def test_short_prompts_overtake_long_ones_beyond_their_limit(scheduler_of, most_long, second) -> None:
    limits = {
        "max_num_partial_prefills": 2,
        "max_long_partial_prefills": most_long,
        "long_prefill_token_threshold": 8,
    }

    first = next(steps(scheduler_of, {"a": 30, "b": 30, "short": 3}, **limits))

    assert first == second


def test_a_long_prompt_that_is_overtaken_is_not_starved(scheduler_of) -> None:
    prompts = {"a": 40, "b": 40} | {f"short {number}": 3 for number in range(60)}

    found = list(steps(scheduler_of, prompts, long_prefill_token_threshold=8))

    begun = next(number for number, step in enumerate(found) if "b" in step)
    assert begun <= -(-40 // 8)


def test_a_prompt_that_fits_whole_needs_no_place_among_those_part_way(scheduler_of) -> None:
    limits = {"long_prefill_token_threshold": 8, "max_num_batched_tokens": 20}

    first = next(steps(scheduler_of, {"long": 40, "six": 6, "four": 4, "more": 7}, **limits))

    assert first == {"long": 8, "six": 6, "four": 4}
