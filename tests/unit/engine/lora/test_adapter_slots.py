"""Requests for several adapters through the scheduler: never too many in a step, and nobody waits for ever."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paddock.engine.core import EngineCore
from paddock.engine.executor.plan import SampledRow, StepPlan, StepResult
from paddock.engine.lora.adapter import Adapter, AdapterLimits
from paddock.engine.messages import AddRequest, LoadAdapter
from paddock.engine.sampling.params import SamplingParams
from paddock.engine.settings import EngineSettings


class CountingExecutor:
    """Samples token 1 everywhere, and checks of each plan what it may ask of the workers."""

    alarm, num_stages = None, 1

    def __init__(self, limits: AdapterLimits) -> None:
        self.limits, self.held, self.of_row, self.plans = limits, set(), {}, []

    def bytes_per_block(self) -> int:
        return 1

    def available_cache_bytes(self) -> int:
        return 1000

    def swap_blocks(self) -> int:
        return 0

    def held_bytes(self) -> tuple[int, int]:
        return 0, 1

    def step_bytes(self) -> int:
        return 0

    def initialize_cache(self, num_blocks: int) -> None: ...

    def check(self) -> None: ...

    def hold_adapter(self, adapter: Adapter) -> str | None:
        self.held.add(adapter.number)
        return None

    def drop_adapter(self, number: int) -> None:
        self.held.remove(number)

    def submit(self, plan: StepPlan, masks: Any = None) -> None:
        for new in plan.new_rows:
            self.of_row[new.row] = new.adapter
        used = {self.of_row[scheduled.row] for scheduled in plan.scheduled} - {0}
        assert len(used) <= self.limits.max_loras
        assert used <= self.held
        self.plans.append(plan)

    def collect(self) -> StepResult:
        plan = self.plans.pop(0)
        return StepResult(plan.step, [SampledRow(row.row, 1) for row in plan.scheduled if row.samples])


REQUESTS = st.lists(
    st.tuples(st.sampled_from([None, "a", "b", "c", "d"]), st.integers(1, 20), st.integers(1, 6)),
    min_size=1,
    max_size=25,
)


@settings(max_examples=60, deadline=None)
@given(REQUESTS, st.integers(1, 3), st.integers(0, 2), st.booleans(), st.integers(12, 60))
def test_a_step_has_at_most_max_loras_adapters_that_are_all_held_and_all_requests_end(
    requests: list[tuple[str | None, int, int]], most: int, more: int, ahead: bool, blocks: int
) -> None:
    limits = AdapterLimits(most, most + more, 8, "float32")
    values = EngineSettings(
        max_model_len=40, dtype="float32", vocab_size=99, eos_token_ids=(), block_size=4, max_num_seqs=4,
        max_num_batched_tokens=16, max_waiting=50, num_gpu_blocks_override=blocks, lora=limits, async_scheduling=ahead,
    )  # fmt: skip
    executor: Any = CountingExecutor(limits)
    core = EngineCore(executor, values)
    assert core.adapters is not None
    for name in "abcd":
        assert core.adapters.load(LoadAdapter(name, "/tmp")) is None
    left = set()
    for number, (adapter, prompt, tokens) in enumerate(requests):
        sampling = SamplingParams(max_tokens=tokens, temperature=0)
        assert core.add(AddRequest(str(number), [1] * prompt, sampling, 0.0, adapter=adapter)) is None
        left.add(str(number))
    for _ in range(2000):
        if not core.has_work:
            break
        for output in core.step().get(b"", []):
            assert output.error is None
            left -= {output.request_id} if output.finish_reason else set()
        assert len(executor.held) <= limits.max_cpu_loras

    assert not left
    core.check_integrity()


def test_an_adapter_that_waits_for_its_turn_is_not_passed_by_others_for_ever() -> None:
    limits = AdapterLimits(1, 1, 8, "float32")
    values = EngineSettings(
        max_model_len=40, dtype="float32", vocab_size=99, eos_token_ids=(), block_size=4, max_num_seqs=4,
        max_num_batched_tokens=16, max_waiting=50, num_gpu_blocks_override=60, lora=limits,
    )  # fmt: skip
    executor: Any = CountingExecutor(limits)
    core = EngineCore(executor, values)
    assert core.adapters is not None
    for name in "ab":
        core.adapters.load(LoadAdapter(name, "/tmp"))

    def ask(request_id: str, adapter: str) -> None:
        sampling = SamplingParams(max_tokens=3, temperature=0)
        core.add(AddRequest(request_id, [1, 2], sampling, 0.0, adapter=adapter))

    ask("a0", "a")
    ask("b", "b")
    ended = []
    for number in range(1, 12):
        ask(f"a{number}", "a")
        for output in core.step().get(b"", []):
            ended += [output.request_id] if output.finish_reason else []

    assert ended[:2] == ["a0", "b"]


@pytest.mark.parametrize("path", ["/nowhere", "~nobody-of-that-name/x", "a" * 300, "a\0b", ""])
def test_a_path_that_leads_nowhere_is_a_404_and_the_engine_goes_on(path: str) -> None:
    values = EngineSettings(
        max_model_len=40, dtype="float32", vocab_size=99, eos_token_ids=(), block_size=4, max_num_seqs=4,
        max_num_batched_tokens=16, max_waiting=50, num_gpu_blocks_override=60,
        lora=AdapterLimits(1, 1, 8, "float32"),
    )  # fmt: skip
    executor: Any = CountingExecutor(AdapterLimits(1, 1, 8, "float32"))
    core = EngineCore(executor, values)
    assert core.adapters is not None

    fault = core.adapters.load(LoadAdapter("a", path))

    assert fault is not None
    assert fault.status == 404
    assert core.adapters.served == []
