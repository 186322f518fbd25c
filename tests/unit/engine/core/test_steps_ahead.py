"""Steps planned while another one runs: async scheduling and pipelines change no answer."""

import pytest

from paddock.engine.executor.plan import StepPlan

AHEAD = [{"async_scheduling": True}, {"num_stages": 2}, {"num_stages": 4}]
IDS = ["async", "two-stages", "four-stages"]
PROMPTS = {str(number): [number] * (3 + 5 * number) for number in range(6)}


@pytest.mark.parametrize("ahead", AHEAD, ids=IDS)
def test_answers_are_those_of_one_step_at_a_time(make_core, engine, ahead) -> None:
    core = make_core(num_blocks=24, **ahead)
    for name, prompt in PROMPTS.items():
        core.add(engine.ask(name, prompt, max_tokens=20))

    outputs = engine.run(core)

    assert core.counters().num_preemptions > 0
    for name, prompt in PROMPTS.items():
        assert engine.tokens_of(outputs[name]) == engine.continuation(prompt, 20, 997)
    assert core.counters().num_generation_tokens == 20 * len(PROMPTS)


@pytest.mark.parametrize("position", range(9))
@pytest.mark.parametrize("ahead", AHEAD, ids=IDS)
def test_a_stop_at_any_position_is_the_last_token_that_is_told(make_core, engine, ahead, position) -> None:
    tokens = engine.continuation([5, 6, 7], 9, 997)
    core = make_core(eos_token_ids=(tokens[position],), **ahead)
    core.add(engine.ask("a", [5, 6, 7], max_tokens=9))

    outputs = engine.run(core)["a"]

    assert engine.tokens_of(outputs) == tokens[: tokens.index(tokens[position]) + 1]
    assert outputs[-1].finish_reason == "stop"


def test_the_next_step_is_under_way_before_the_last_one_is_answered(make_core, engine) -> None:
    core = make_core(async_scheduling=True)
    core.add(engine.ask("a", [1, 2, 3], max_tokens=8))
    order: list[str] = []
    submit, collect = core._executor.submit, core._executor.collect
    core._executor.submit = lambda plan, masks=None: (order.append(f"submit {plan.step}"), submit(plan))
    core._executor.collect = lambda: (order.append("collect"), collect())[1]

    engine.run(core)

    assert order[:6] == ["submit 1", "submit 2", "collect", "submit 3", "collect", "submit 4"]


def test_no_token_is_computed_beyond_a_length_that_is_known(make_core, engine) -> None:
    core = make_core(async_scheduling=True)
    core.add(engine.ask("a", [1, 2, 3], max_tokens=5))

    engine.run(core)

    assert core.num_steps == 5


def test_the_requests_of_a_pipeline_are_spread_over_its_stages(make_core, engine) -> None:
    core = make_core(num_stages=2)
    for name in "abcd":
        core.add(engine.ask(name, [ord(name)], max_tokens=9))
    plans: list[StepPlan] = []
    submit = core._executor.submit
    core._executor.submit = lambda plan, masks=None: (plans.append(plan), submit(plan))
    for _ in range(6):
        core.step()

    assert [len(plan.scheduled) for plan in plans[2:6]] == [2, 2, 2, 2]


@pytest.mark.parametrize("ahead", AHEAD, ids=IDS)
def test_an_abort_frees_everything_though_a_step_is_under_way(make_core, engine, ahead) -> None:
    core = make_core(num_blocks=16, **ahead)
    for name in "abcd":
        core.add(engine.ask(name, [ord(name)] * 9, max_tokens=20))
    core.step()

    core.abort("abcd")

    assert core.stats(core.counters()).kv_cache_usage == 0
    core.add(engine.ask("a", [7, 7], max_tokens=3))
    assert engine.tokens_of(engine.run(core)["a"]) == engine.continuation([7, 7], 3, 997)
