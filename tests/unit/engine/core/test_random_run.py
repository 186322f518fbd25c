"""One long seeded life of an engine, with every kind of trouble in it many times over."""

import random
from dataclasses import replace

import pytest

from paddock.engine.core import EngineCore

KINDS = {
    "one-step-at-a-time": ({}, 1),
    "async": ({"async_scheduling": True}, 1),
    "pipeline-of-3": ({}, 3),
    "swapping": ({"enable_prefix_caching": False}, 1, 20),
    "swapping-pipeline-of-3": ({}, 3, 20),
    "swapping-async": ({"async_scheduling": True}, 1, 20),
    "partial-prefills": (
        {
            "max_num_partial_prefills": 3,
            "max_long_partial_prefills": 2,
            "long_prefill_token_threshold": 5,
            "prefix_caching_hash_algo": "sha256",
            "async_scheduling": True,
            "scheduling_policy": "priority",
        },
        1,
    ),
}


class Life:
    """Adds, aborts and steps at random, and knows what every request must answer."""

    def __init__(self, engine, kind: str, seed: int) -> None:
        deviations, num_stages, *swap_blocks = KINDS[kind]
        self.engine = engine
        self.random = random.Random(seed)
        self.settings = replace(
            engine.settings,
            max_num_seqs=8,
            max_num_batched_tokens=24,
            max_waiting=12,
            eos_token_ids=(0,),
            vocab_size=23,
            **deviations,
        )
        self.executor = engine.executor(self.settings, 28, num_stages, *swap_blocks)
        self.core = EngineCore(self.executor, self.settings)
        self.prompts: dict[str, list[int]] = {}
        self.generated: dict[str, list[int]] = {}
        self.seen = {"added": 0, "refused": 0, "aborted": 0, "finished": 0, "idle": 0}

    def add(self, number: int) -> None:
        prompt = [1 + self.random.randrange(2) for _ in range(self.random.randrange(1, 40))]
        priority = self.random.randrange(3) if self.settings.scheduling_policy == "priority" else 0
        message = self.engine.ask(
            str(number), prompt, self.random.randrange(1, 24), arrival_time=number, priority=priority
        )
        if self.core.add(message) is not None:
            self.seen["refused"] += 1
            return
        self.prompts[message.request_id], self.generated[message.request_id] = prompt, []
        self.seen["added"] += 1

    def abort(self) -> None:
        request_id = self.random.choice(list(self.prompts))
        self.core.abort([request_id])
        del self.prompts[request_id], self.generated[request_id]
        self.seen["aborted"] += 1

    def step(self) -> None:
        for output in self.core.step().get(b"", []):
            self.generated[output.request_id] += output.new_token_ids
            if output.finish_reason is not None:
                self.finish(output.request_id)

    def finish(self, request_id: str) -> None:
        prompt, generated = self.prompts.pop(request_id), self.generated.pop(request_id)
        assert generated == self.engine.continuation(prompt, len(generated), self.settings.vocab_size)
        self.seen["finished"] += 1

    def live(self, operations: int) -> None:
        for number in range(operations):
            # Load comes in waves, so that the engine is now crowded and now idle.
            crowded = number // 500 % 2
            choice = self.random.random()
            if choice < (0.3 if crowded else 0.02):
                self.add(number)
            elif self.prompts and choice > 0.97:
                self.abort()
            elif self.core.has_work:
                self.step()
            else:
                self.core.check_integrity()
                self.seen["idle"] += 1


@pytest.mark.parametrize(
    "operations", [5_000, pytest.param(100_000, marks=pytest.mark.long)], ids=["short", "long"]
)
@pytest.mark.parametrize("kind", list(KINDS))
def test_thousands_of_random_operations_leak_nothing_and_answer_right(engine, kind, operations) -> None:
    life = Life(engine, kind, seed=20)

    life.live(operations)
    while life.core.has_work:
        life.step()

    life.core.check_integrity()
    counted = life.core.counters()
    assert not life.prompts
    stats = life.core.stats(counted)
    assert stats.kv_cache_usage == stats.swap_space_usage == stats.num_swapped == 0
    assert life.seen["finished"] + life.seen["aborted"] == life.seen["added"]
    # The run is worth its time only if the rare things happened.
    assert min(life.seen.values()) > operations / 1000
    assert counted.num_preemptions > operations / 200
    assert counted.prefix_cache_hits > operations / 20 or not life.settings.enable_prefix_caching
    assert life.executor.num_swapped_in > operations / 100 or not life.executor.num_swap_blocks
