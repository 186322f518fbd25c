"""Random lives of an engine: whatever is added, aborted and stepped, the promises of the scheduler and the pool hold."""

from dataclasses import replace
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from paddock.engine.core import EngineCore
from paddock.engine.messages import AddRequest

CLIENTS = [b"one", b"two"]


class EngineMachine(RuleBasedStateMachine):
    engine: Any
    """The toolbox of this folder's conftest."""

    @initialize(
        block_size=st.sampled_from([1, 2, 4]),
        num_blocks=st.integers(12, 24),
        rows=st.integers(1, 5),
        extra_budget=st.integers(0, 12),
        chunked=st.booleans(),
        prefix_caching=st.booleans(),
        policy=st.sampled_from(["fcfs", "priority"]),
        ahead=st.sampled_from(["no", "async", "pipeline"]),
        long_prefill=st.sampled_from([0, 3, 7]),
        part_way=st.integers(1, 3),
        hash_algorithm=st.sampled_from(["sha256", "sha256_cbor"]),
        swap_blocks=st.sampled_from([0, 5, 40]),
    )
    def start(
        self, block_size, num_blocks, rows, extra_budget, chunked, prefix_caching, policy, ahead, long_prefill,
        part_way, hash_algorithm, swap_blocks,
    ) -> None:  # fmt: skip
        longest = num_blocks * block_size
        settings = replace(
            self.engine.settings,
            block_size=block_size,
            max_model_len=longest,
            max_num_seqs=rows,
            max_num_batched_tokens=(rows if chunked else max(longest, rows)) + extra_budget,
            max_waiting=6,
            enable_chunked_prefill=chunked,
            enable_prefix_caching=prefix_caching,
            scheduling_policy=policy,
            async_scheduling=ahead == "async",
            long_prefill_token_threshold=long_prefill if chunked else 0,
            max_num_partial_prefills=part_way,
            max_long_partial_prefills=max(1, part_way - 1),
            prefix_caching_hash_algo=hash_algorithm,
            eos_token_ids=(0, 1),
            vocab_size=23,
        )
        self.executor = self.engine.executor(
            settings, num_blocks, 3 if ahead == "pipeline" else 1, swap_blocks
        )
        self.core = EngineCore(self.executor, settings)
        self.settings = settings
        self.schedule = self.core._scheduler.schedule
        self.core._scheduler.schedule = self.checked_schedule
        self.number = 0
        self.live: dict[tuple[bytes, str], tuple[AddRequest, list[int]]] = {}

    @rule(
        client=st.sampled_from(CLIENTS),
        prompt=st.lists(st.sampled_from([2, 3]), min_size=1, max_size=30),
        max_tokens=st.integers(1, 30),
        min_tokens=st.integers(0, 5),
        prompt_logprobs=st.sampled_from([None, None, 0]),
        priority=st.integers(0, 2),
        salt=st.sampled_from([None, "a"]),
        late=st.floats(0, 3),
    )
    def add(self, client, prompt, max_tokens, min_tokens, prompt_logprobs, priority, salt, late) -> None:
        self.number += 1
        fields = {"min_tokens": min_tokens, "prompt_logprobs": prompt_logprobs, "cache_salt": salt}
        if self.settings.scheduling_policy == "priority":
            fields["priority"] = priority
        message = self.engine.ask(
            str(self.number), prompt, max_tokens, arrival_time=self.number - late, **fields
        )
        refusal = self.core.add(message, client)
        full = len(self.live) == self.settings.max_num_seqs + self.settings.max_waiting
        if len(prompt) >= self.settings.max_model_len:
            assert refusal.status == 400
        else:
            assert (refusal is not None and refusal.status == 503) == full
        if refusal is None:
            self.live[client, message.request_id] = (message, [])

    @rule(data=st.data())
    @precondition(lambda self: self.live)
    def abort(self, data) -> None:
        client, request_id = data.draw(st.sampled_from(sorted(self.live)))
        self.core.abort([request_id, "unknown"], client)
        del self.live[client, request_id]

    @rule(client=st.sampled_from(CLIENTS))
    def client_goes(self, client) -> None:
        self.core.abort_client(client)
        self.live = {key: value for key, value in self.live.items() if key[0] != client}

    @rule()
    def reset_prefix_cache(self) -> None:
        self.core.reset_prefix_cache()

    def checked_schedule(self):
        before = {request: request.num_preemptions for request in self.core._requests.values()}
        plan = self.schedule()
        preempted = {
            request.request_id for request, count in before.items() if request.num_preemptions > count
        }
        if plan is not None:
            self.check_plan(plan, preempted)
        return plan

    @rule()
    @precondition(lambda self: self.core.has_work)
    def step(self) -> None:
        outputs = self.core.step()
        for client, client_outputs in outputs.items():
            for output in client_outputs:
                self.take(client, output)

    def check_plan(self, plan, preempted: set[str]) -> None:
        num_tokens = sum(row.num_scheduled_tokens for row in plan.scheduled)
        assert 1 <= num_tokens <= self.settings.max_num_batched_tokens
        assert len(plan.scheduled) <= self.settings.max_num_seqs
        assert len({row.row for row in plan.scheduled}) == len(plan.scheduled)
        assert not {new.request_id for new in plan.new_rows} & preempted
        self.check_prompts(plan)
        # Nobody who still waits came before somebody who was let in, but for long prompts.
        admitted = {new.request_id for new in plan.new_rows}
        still_waiting = [other for other in self.core._scheduler.waiting if not self.is_long(other)]
        for request in self.core._scheduler.running:
            if request.request_id in admitted:
                assert all(request.rank < other.rank for other in still_waiting)

    def is_long(self, request) -> bool:
        return 0 < self.settings.long_prefill_token_threshold < len(request.token_ids)

    def check_prompts(self, plan) -> None:
        threshold = self.settings.long_prefill_token_threshold
        assert all(row.num_scheduled_tokens <= (threshold or 1000) for row in plan.scheduled)
        part_way = [request for request in self.core._scheduler.running if request.is_part_way]
        assert len(part_way) <= self.settings.max_num_partial_prefills
        assert sum(map(self.is_long, part_way)) <= self.settings.max_long_partial_prefills

    def take(self, client, output) -> None:
        message, generated = self.live[client, output.request_id]
        generated += output.new_token_ids
        expected = self.engine.continuation(
            message.prompt_token_ids, len(generated), self.settings.vocab_size
        )
        assert generated == expected
        if message.sampling.prompt_logprobs is not None and len(generated) == 1:
            assert [-entry[0].logprob for entry in output.prompt_logprobs] == list(
                range(1, len(message.prompt_token_ids))
            )
        self.check_finish(message, generated, output)
        if output.finish_reason is not None:
            del self.live[client, output.request_id]

    def check_finish(self, message, generated, output) -> None:
        stops = generated[-1] in (0, 1) and len(generated) > message.sampling.min_tokens
        room = min(message.sampling.max_tokens, self.settings.max_model_len - len(message.prompt_token_ids))
        assert output.finish_reason == ("stop" if stops else "length" if len(generated) == room else None)

    @rule()
    @precondition(lambda self: self.live)
    def drain(self) -> None:
        """The first in rank computes at least one token in every step, so the end is not far: nobody starves."""
        most_steps = len(self.live) * (self.settings.max_model_len + 1)
        for _ in range(most_steps):
            if self.core.has_work:
                self.step()
        assert not self.live
        assert not self.core.has_work

    @invariant()
    def books_add_up(self) -> None:
        if not hasattr(self, "core"):
            return
        self.core.check_integrity()
        stats = self.core.stats(self.core.counters())
        assert stats.num_running <= self.settings.max_num_seqs
        assert stats.num_running + stats.num_waiting == len(self.live)
        assert self.core.has_work == bool(self.live or self.core._submitted)
        swapped = [each for each in self.core._scheduler.waiting if each.table.swapped]
        assert stats.num_swapped == len(swapped) <= stats.num_waiting
        assert stats.swap_space_usage <= 1
        for request in self.core._scheduler.running:
            num_known = len(request.token_ids) + request.num_pending_tokens
            assert request.num_computed_tokens <= num_known <= request.max_length
        if not self.live:
            assert stats.kv_cache_usage == stats.swap_space_usage == 0


@pytest.mark.parametrize(
    "examples", [80, pytest.param(2500, marks=pytest.mark.long)], ids=["short", "100000-operations"]
)
def test_every_promise_holds_in_random_lives(engine, examples) -> None:
    machine = type("Machine", (EngineMachine,), {"engine": engine})
    run_state_machine_as_test(
        machine, settings=hypothesis_settings(max_examples=examples, stateful_step_count=40, deadline=None)
    )
