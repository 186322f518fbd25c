"""A row that gets no usable token ends its own request, with the reason, and no other."""

import msgspec
import pytest


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
