"""A row that gets no usable token ends its own request, with the reason, and no other."""

import msgspec
import pytest

from paddock.engine.executor.plan import FailedRow, StepResult


@pytest.mark.parametrize("ahead", [False, True], ids=["one-step-at-a-time", "async"])
def test_a_failed_row_ends_its_request_alone_and_frees_what_it_held(make_core, engine, ahead) -> None:
    core = make_core(async_scheduling=ahead)
    core.add(engine.ask("good", [1] * 9, max_tokens=8))
    core.add(engine.ask("bad", [2] * 9, max_tokens=8))
    collect = core._executor.collect

    def third_step_fails():
        result = collect()
        if result.step == 3:
            last = msgspec.structs.replace(result.sampled[-1], token_id=0, error="no numbers")
            result.sampled[-1] = last
        return result

    core._executor.collect = third_step_fails

    outputs = engine.run(core)

    assert engine.tokens_of(outputs["good"]) == engine.continuation([1] * 9, 8, 997)
    assert engine.tokens_of(outputs["bad"]) == engine.continuation([2] * 9, 2, 997)
    end = outputs["bad"][-1]
    assert (end.finish_reason, end.error, end.new_token_ids) == ("error", "no numbers", [])
    assert core.stats(core.counters()).kv_cache_usage == 0


def unwritten(executor, request_id: str):
    """The executor's next step, except that what it writes for the request is lost."""
    execute = executor.execute

    def fail(plan):
        result, row = execute(plan), next(new.row for new in plan.new_rows if new.request_id == request_id)
        executor.execute = execute
        block_ids = executor.rows[row].block_ids
        for block_id in block_ids:
            for offset in range(executor.settings.block_size):
                executor.slots[block_id * executor.settings.block_size + offset] = None
        sampled = [
            msgspec.structs.replace(each, error="no memory") if each.row == row else each
            for each in result.sampled
        ]
        return StepResult(plan.step, sampled, failed=[FailedRow(row, block_ids, "no memory")])

    executor.execute = fail


@pytest.mark.parametrize("length", [13, 40], ids=["a whole prompt", "a part of a prompt"])
def test_who_shares_what_a_failed_request_did_not_write_computes_it_again(make_core, engine, length) -> None:
    core = make_core()
    prompt = [1, 2, 3] * 20
    core.add(engine.ask("alone", [9] * 5, max_tokens=6))
    core.step()
    unwritten(core._executor, "failed")
    core.add(engine.ask("failed", prompt[:length]))
    core.add(engine.ask("sharer", prompt[:14]))

    outputs = engine.run(core)
    core.add(engine.ask("later", prompt[:14]))
    outputs |= engine.run(core)

    assert [(end.finish_reason, end.error) for end in outputs["failed"]] == [("error", "no memory")]
    assert engine.tokens_of(outputs["sharer"]) == engine.continuation(prompt[:14], 4, 997)
    assert engine.tokens_of(outputs["later"]) == engine.continuation(prompt[:14], 4, 997)
    assert outputs["alone"][-1].num_preemptions == 0
    assert core.stats(core.counters()).kv_cache_usage == 0


def test_an_aborted_request_that_failed_leaves_nothing_to_be_found(make_core, engine) -> None:
    core = make_core(num_stages=2)
    unwritten(core._executor, "gone")
    core.add(engine.ask("gone", [1, 2, 3] * 4))
    core._submit_steps()
    core.abort(["gone"])

    core.step()
    core.add(engine.ask("later", [1, 2, 3] * 4))

    outputs = engine.run(core)
    assert engine.tokens_of(outputs["later"]) == engine.continuation([1, 2, 3] * 4, 4, 997)
    assert outputs["later"][0].num_cached_tokens == 0


def test_what_was_swapped_out_when_a_step_failed_is_not_trusted(make_core, engine) -> None:
    """With a step ahead, it may have been swapped out after the step that did not write it."""
    limits = {"num_blocks": 8, "num_swap_blocks": 8, "max_model_len": 32}
    core = make_core(**limits, async_scheduling=True, enable_prefix_caching=False)
    core.add(engine.ask("old", [1] * 12, max_tokens=16))
    core.add(engine.ask("young", [2] * 12, max_tokens=16))
    outputs: dict[str, list] = {"old": [], "young": []}
    while not swapped(core):
        for output in core.step()[b""]:
            outputs[output.request_id].append(output)
    collect = core._executor.collect

    def first_row_fails():
        core._executor.collect = collect
        result = collect()
        result.sampled[0] = msgspec.structs.replace(result.sampled[0], error="no memory")
        result.failed = [FailedRow(result.sampled[0].row, [], "no memory")]
        return result

    core._executor.collect = first_row_fails
    assert [output.error for output in core.step()[b""] if output.request_id == "old"] == ["no memory"]
    assert not swapped(core)

    outputs["young"] += engine.run(core)["young"]
    assert engine.tokens_of(outputs["young"]) == engine.continuation([2] * 12, 16, 997)


def swapped(core) -> int:
    return core.stats(core.counters()).num_swapped
