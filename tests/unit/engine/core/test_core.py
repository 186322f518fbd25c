"""What a client of the core is promised, one promise at a time."""

import pytest


def test_tokens_are_those_of_the_whole_context(make_core, engine) -> None:
    core = make_core()

    core.add(engine.ask("a", [1, 2, 3], max_tokens=10))

    assert engine.tokens_of(engine.run(core)["a"]) == engine.continuation([1, 2, 3], 10, 997)


@pytest.mark.parametrize("length", [1, 3, 4, 5, 8, 11, 12, 13, 63])
def test_prompts_around_block_and_context_borders_are_answered(make_core, engine, length) -> None:
    core = make_core()
    prompt = list(range(length))

    core.add(engine.ask("a", prompt, max_tokens=100))

    outputs = engine.run(core)["a"]
    assert engine.tokens_of(outputs) == engine.continuation(prompt, min(100, 64 - length), 997)
    assert outputs[-1].finish_reason == "length"


@pytest.mark.parametrize("budget", [1, 3, 4, 5, 16])
def test_a_prompt_longer_than_the_budget_is_computed_in_chunks_of_it(make_core, engine, budget) -> None:
    core = make_core(max_num_seqs=1, max_num_batched_tokens=budget)
    core.add(engine.ask("a", range(20), max_tokens=1))

    assert engine.tokens_of(engine.run(core)["a"]) == engine.continuation(range(20), 1, 997)
    assert core.num_steps == -(-20 // budget)


def test_without_chunking_a_prompt_waits_for_a_step_that_takes_all_of_it(make_core, engine) -> None:
    core = make_core(enable_chunked_prefill=False, max_num_batched_tokens=64)
    core.add(engine.ask("first", range(40)))
    core.add(engine.ask("second", range(100, 140)))

    core.step()
    plan = core._executor.plans[-1]
    assert [(row.num_scheduled_tokens, row.samples) for row in plan.scheduled] == [(40, True)]

    assert set(engine.run(core)) == {"first", "second"}


def test_a_long_prompt_does_not_hold_up_those_who_generate(make_core, engine) -> None:
    core = make_core(max_num_batched_tokens=8)
    core.add(engine.ask("young", [1], max_tokens=9, arrival_time=2.0))
    core.step()
    core.add(engine.ask("old", range(50), max_tokens=1, arrival_time=1.0))

    names = []
    for _ in range(8):
        names += [output.request_id for output in core.step().get(b"", [])]

    assert names.count("young") == 8


def test_the_first_output_carries_the_facts_of_the_prompt_and_later_ones_do_not(make_core, engine) -> None:
    core = make_core()
    core.add(engine.ask("cold", range(12), max_tokens=1))
    engine.run(core)
    core.add(engine.ask("warm", range(12), max_tokens=2))

    first, second = engine.run(core)["warm"]

    assert first.num_cached_tokens == 8
    assert first.scheduled_time is not None
    assert (second.num_cached_tokens, second.scheduled_time, second.prompt_logprobs) == (0, None, None)


def test_equal_prompts_of_the_same_step_share_their_blocks(make_core, engine) -> None:
    core = make_core()
    for name in "abc":
        core.add(engine.ask(name, range(9), max_tokens=2))

    outputs = engine.run(core)

    assert [outputs[name][0].num_cached_tokens for name in "abc"] == [0, 8, 8]
    assert core.counters().prefix_cache_hits == 16
    assert core.counters().prefix_cache_queries == 27
    assert core.counters().num_prompt_tokens == 27 - 16


@pytest.mark.parametrize("ahead", [False, True], ids=["one-step-at-a-time", "async"])
def test_a_step_is_credited_with_the_tokens_that_it_has_computed(make_core, engine, ahead) -> None:
    core = make_core(max_num_batched_tokens=5, async_scheduling=ahead)
    core.add(engine.ask("a", range(12), max_tokens=2))
    before, credited = core.counters(), []
    while core.has_work:
        core.step()
        added, before = core.counters().since(before), core.counters()
        credited.append((added.num_prompt_tokens, added.num_generation_tokens))
    assert [each for each in credited if any(each)] == [(5, 0), (5, 0), (2, 1), (0, 1)]


def test_prompt_logprobs_are_complete_although_the_prompt_is_cached_and_chunked(make_core, engine) -> None:
    core = make_core(max_num_batched_tokens=5)
    core.add(engine.ask("warm", range(20), max_tokens=1))
    engine.run(core)
    core.add(engine.ask("a", range(20), max_tokens=3, prompt_logprobs=0))

    first, *rest = engine.run(core)["a"]

    assert [entry[0].token_id for entry in first.prompt_logprobs] == list(range(1, 20))
    assert first.num_cached_tokens == 0
    assert all(output.prompt_logprobs is None for output in rest)


def test_preempted_requests_come_back_with_the_same_tokens(make_core, engine) -> None:
    core = make_core(num_blocks=16)
    for number in range(4):
        core.add(engine.ask(str(number), [number] * 8, max_tokens=30, arrival_time=number))

    outputs = engine.run(core)

    assert core.counters().num_preemptions > 0
    for number in range(4):
        assert engine.tokens_of(outputs[str(number)]) == engine.continuation([number] * 8, 30, 997)
    # The oldest is never the one to go.
    assert outputs["0"][-1].num_preemptions == 0
    assert max(output[-1].num_preemptions for output in outputs.values()) > 0
    assert core.counters().num_generation_tokens == 120
    assert core.counters().num_prompt_tokens == 32


@pytest.mark.parametrize("steps", [0, 1, 2, 5, 12])
def test_an_abort_at_any_stage_frees_everything_at_once(make_core, engine, steps) -> None:
    core = make_core(num_blocks=16, max_num_batched_tokens=6)
    for number in range(6):
        core.add(engine.ask(str(number), [number] * 10, max_tokens=30))
    for _ in range(steps):
        core.step()

    core.abort([str(number) for number in range(6)])

    assert not core.has_work
    core.check_integrity()
    assert core.stats(core.counters()).kv_cache_usage == 0
    core.add(engine.ask("0", [7, 7], max_tokens=3))
    assert engine.tokens_of(engine.run(core)["0"]) == engine.continuation([7, 7], 3, 997)


def test_an_abort_of_another_client_s_request_does_nothing(make_core, engine) -> None:
    core = make_core()
    core.add(engine.ask("a", [1]), b"one")

    core.abort(["a"], b"two")

    assert core.has_work
    core.abort_client(b"one")
    assert not core.has_work


def test_each_client_is_told_of_its_own_requests_only(make_core, engine) -> None:
    core = make_core()
    core.add(engine.ask("a", [1]), b"one")
    core.add(engine.ask("a", [2]), b"two")

    outputs = core.step()

    assert {client: len(of_client) for client, of_client in outputs.items()} == {b"one": 1, b"two": 1}


def test_eos_ends_a_request_without_a_stop_reason_and_a_stop_token_with_one(make_core, engine) -> None:
    first, second = engine.continuation([1], 2, 997)
    core = make_core(eos_token_ids=(second,))
    core.add(engine.ask("eos", [1], max_tokens=9))
    core.add(engine.ask("stop", [1], max_tokens=9, stop_token_ids=(first,)))
    core.add(engine.ask("both", [1], max_tokens=9, stop_token_ids=(second,), ignore_eos=True))
    core.add(engine.ask("neither", [1], max_tokens=3, ignore_eos=True))

    last = {name: outputs[-1] for name, outputs in engine.run(core).items()}

    ends = {name: (output.finish_reason, output.stop_reason) for name, output in last.items()}
    assert ends == {
        "eos": ("stop", None),
        "stop": ("stop", first),
        "both": ("stop", second),
        "neither": ("length", None),
    }


def test_a_stop_on_the_last_token_allowed_is_a_stop(make_core, engine) -> None:
    _, second = engine.continuation([1], 2, 997)
    core = make_core(eos_token_ids=(second,))
    core.add(engine.ask("a", [1], max_tokens=2))

    assert engine.run(core)["a"][-1].finish_reason == "stop"


def test_nothing_stops_a_request_before_its_min_tokens(make_core, engine) -> None:
    tokens = engine.continuation([1], 5, 997)
    core = make_core(eos_token_ids=(tokens[1],))
    core.add(engine.ask("a", [1], max_tokens=5, min_tokens=2, stop_token_ids=(tokens[3],)))

    outputs = engine.run(core)["a"]

    assert engine.tokens_of(outputs) == tokens[:4]
    assert outputs[-1].stop_reason == tokens[3]


def test_requests_are_served_in_the_order_of_their_arrival(make_core, engine) -> None:
    core = make_core(max_num_seqs=1)
    for name, arrival in (("third", 3.0), ("first", 1.0), ("second", 2.0)):
        core.add(engine.ask(name, [1], max_tokens=1, arrival_time=arrival))

    assert list(engine.run(core)) == ["first", "second", "third"]


def test_under_the_priority_policy_smaller_numbers_go_first(make_core, engine) -> None:
    core = make_core(max_num_seqs=1, scheduling_policy="priority")
    for name, priority in (("low", 2), ("high", -1), ("middle", 0), ("low too", 2)):
        core.add(engine.ask(name, [1], max_tokens=1, priority=priority))

    assert list(engine.run(core)) == ["high", "middle", "low", "low too"]


def test_requests_without_a_seed_get_one_that_depends_on_the_engine_s_seed(make_core, engine) -> None:
    def drawn(seed: int) -> list[int]:
        core = make_core(seed=seed)
        core.add(engine.ask("a", [1]))
        core.add(engine.ask("b", [1]))
        core.step()
        return [new.sampling.seed for new in core._executor.plans[0].new_rows]

    assert drawn(1) == drawn(1) != drawn(2)
    assert len(set(drawn(1))) == 2


def test_an_idle_core_has_no_work_and_its_books_add_up(make_core, engine) -> None:
    core = make_core()
    core.add(engine.ask("a", [1]))
    engine.run(core)

    assert not core.has_work
    core.check_integrity()


def test_an_executor_that_leaves_a_row_without_its_token_ends_the_engine(make_core, engine) -> None:
    core = make_core()
    core.add(engine.ask("a", [1]))
    collect = core._executor.collect

    def forgetful():
        result = collect()
        result.sampled.clear()
        return result

    core._executor.collect = forgetful

    with pytest.raises(RuntimeError, match="asked for tokens in 1 rows"):
        core.step()


def test_the_executor_is_given_no_list_that_the_core_goes_on_changing(make_core, engine) -> None:
    core = make_core()
    core.add(engine.ask("a", [1, 2], max_tokens=20))
    core.step()
    new_row, scheduled = core._executor.plans[0].new_rows[0], core._executor.plans[0].scheduled[0]
    seen = (list(new_row.token_ids), list(scheduled.new_block_ids))

    engine.run(core)

    assert (new_row.token_ids, scheduled.new_block_ids) == seen


@pytest.mark.parametrize("algorithm", ["sha256", "sha256_cbor"])
def test_every_hash_finds_a_prompt_again_and_keeps_salts_apart(make_core, engine, algorithm) -> None:
    core = make_core(prefix_caching_hash_algo=algorithm)
    for name, salt in (("cold", "mine"), ("warm", "mine"), ("other", "yours")):
        core.add(engine.ask(name, range(12), max_tokens=1, cache_salt=salt))

    outputs = engine.run(core)

    assert [outputs[name][0].num_cached_tokens for name in ("cold", "warm", "other")] == [0, 8, 0]


def test_the_choices_of_one_request_share_the_blocks_of_its_prompt(make_core, engine) -> None:
    core = make_core(max_num_batched_tokens=64)
    for choice in range(4):
        core.add(engine.ask(f"a-{choice}", range(41), max_tokens=3))

    core.step()

    # Ten full blocks of the prompt once, and each choice's own last block.
    assert core.stats(core.counters()).kv_cache_usage == (10 + 4) / 64
    tokens = [engine.tokens_of(outputs) for outputs in engine.run(core).values()]
    assert len(tokens) == 4
    assert core.counters().num_prompt_tokens == 40 + 4
