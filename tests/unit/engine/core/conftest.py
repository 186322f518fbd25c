"""An executor without tensors: its paged cache holds identities instead of keys and values.

Slot contents name the whole sequence up to their position, and the next token is a function of what is read through
the block table. A wrong block, a block shared by mistake or a slot overwritten therefore changes or stops the output.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import pytest

from paddock.engine.core import EngineCore
from paddock.engine.executor.base import MaskSource
from paddock.engine.executor.plan import (
    NewRow,
    RowPromptLogprobs,
    SampledRow,
    ScheduledRow,
    StepPlan,
    StepResult,
)
from paddock.engine.messages import AddRequest, RequestOutput, TokenLogprob
from paddock.engine.sampling.params import SamplingParams
from paddock.engine.settings import EngineSettings

BYTES_PER_BLOCK = 1024


def next_identity(identity: int, token_id: int) -> int:
    return hash((identity, token_id))


def sampled_token(identity: int, vocab_size: int) -> int:
    return identity % vocab_size


def continuation(prompt: Sequence[int], count: int, vocab_size: int) -> list[int]:
    """What any right engine generates after `prompt`, computed without one."""
    identity, generated = 0, []
    for token_id in prompt:
        identity = next_identity(identity, token_id)
    for _ in range(count):
        generated.append(sampled_token(identity, vocab_size))
        identity = next_identity(identity, generated[-1])
    return generated


@dataclass
class Row:
    token_ids: list[int]
    wants_prompt_logprobs: bool
    num_prompt_tokens: int
    block_ids: list[int] = field(default_factory=list)
    num_computed: int | None = None
    identities: list[int] = field(default_factory=list)

    def identity(self, position: int) -> int:
        while len(self.identities) <= position:
            before = self.identities[-1] if self.identities else 0
            self.identities.append(next_identity(before, self.token_ids[len(self.identities)]))
        return self.identities[position]


class PagedExecutor:
    """Implements the executor protocol; raises when a plan breaks it."""

    alarm = None

    def __init__(
        self, settings: EngineSettings, num_blocks: int, num_stages: int = 1, num_swap_blocks: int = 0
    ) -> None:
        self.settings = settings
        self.num_swap_blocks = num_swap_blocks
        self.swapped: dict[int, list[int | None]] = {}
        self.num_swapped_in = 0
        self.num_stages = num_stages
        self.results: deque[tuple[StepResult, list[Row]]] = deque()
        self.offered_blocks = num_blocks
        self.rows: dict[int, Row] = {}
        self.plans: list[StepPlan] = []
        self.is_shut_down = False

    def bytes_per_block(self) -> int:
        return BYTES_PER_BLOCK

    def available_cache_bytes(self) -> int:
        return self.offered_blocks * BYTES_PER_BLOCK

    def step_bytes(self) -> int:
        return 0

    def held_bytes(self) -> tuple[int, int]:
        return 0, BYTES_PER_BLOCK

    def swap_blocks(self) -> int:
        return self.num_swap_blocks

    def initialize_cache(self, num_blocks: int) -> None:
        self.slots: list[int | None] = [None] * (num_blocks * self.settings.block_size)
        self.writers: dict[int, Row] = {}

    def submit(self, plan: StepPlan, masks: MaskSource | None = None) -> None:
        """Runs the step at once: those who plan ahead must not need its answer."""
        result = self.execute(plan)
        rows = [self.rows[scheduled.row] for scheduled in plan.scheduled]
        if self.num_stages > 1:
            waited_for = {id(row) for _, sampling in self.results for row in sampling}
            assert not waited_for & {id(row) for row in rows}
        sampling = [row for row, scheduled in zip(rows, plan.scheduled, strict=True) if scheduled.samples]
        self.results.append((result, sampling))

    def collect(self) -> StepResult:
        return self.results.popleft()[0]

    def execute(self, plan: StepPlan) -> StepResult:
        self.plans = [*self.plans[-9:], plan]
        self._swap(plan)
        for row in plan.freed_rows:
            del self.rows[row]
        for new in plan.new_rows:
            self._enter(new)
        for scheduled in plan.scheduled:
            self._write(scheduled)
        sampled = [self._sample(scheduled) for scheduled in plan.scheduled if scheduled.samples]
        return StepResult(plan.step, sampled, self._prompt_logprobs(plan))

    def check(self) -> None:
        """There is no worker that could be lost."""

    def shutdown(self) -> None:
        self.is_shut_down = True

    def _swap(self, plan: StepPlan) -> None:
        places = [place for _, place in plan.swapped_out]
        assert len(set(places)) == len(places)
        for block, place in plan.swapped_out:
            assert 0 <= place < self.num_swap_blocks
            self.swapped[place] = self.slots[self._of_block(block)]
        for place, block in plan.swapped_in:
            self.slots[self._of_block(block)] = self.swapped[place]
            self.num_swapped_in += 1

    def _of_block(self, block: int) -> slice:
        return slice(block * self.settings.block_size, (block + 1) * self.settings.block_size)

    def _enter(self, new: NewRow) -> None:
        assert new.row not in self.rows
        assert 0 <= new.row < self.settings.max_num_seqs
        assert new.sampling.seed is not None
        wants = new.sampling.prompt_logprobs is not None
        self.rows[new.row] = Row(list(new.token_ids), wants, new.num_prompt_tokens)

    def _slot(self, row: Row, position: int) -> int:
        block, offset = divmod(position, self.settings.block_size)
        return row.block_ids[block] * self.settings.block_size + offset

    def _write(self, scheduled: ScheduledRow) -> None:
        row = self.rows[scheduled.row]
        # Each position once, in order: the row goes on exactly where it stopped.
        assert row.num_computed in (None, scheduled.num_computed_tokens)
        self._extend(row, scheduled)
        end = scheduled.num_computed_tokens + scheduled.num_scheduled_tokens
        assert scheduled.num_computed_tokens < end <= len(row.token_ids)
        assert scheduled.samples == (end == len(row.token_ids))
        for position in range(scheduled.num_computed_tokens, end):
            assert self.writers[row.block_ids[position // self.settings.block_size]] is row
            self.slots[self._slot(row, position)] = row.identity(position)
        row.num_computed = end

    def _extend(self, row: Row, scheduled: ScheduledRow) -> None:
        """New blocks belong to the row; the first ones of a new table may be cached ones, which it only reads."""
        num_cached = 0 if row.block_ids else scheduled.num_computed_tokens // self.settings.block_size
        row.block_ids += scheduled.new_block_ids
        for block_id in scheduled.new_block_ids[num_cached:]:
            self.writers[block_id] = row

    def _sample(self, scheduled: ScheduledRow) -> SampledRow:
        row = self.rows[scheduled.row]
        read = [self.slots[self._slot(row, position)] for position in range(len(row.token_ids))]
        assert read == [row.identity(position) for position in range(len(row.token_ids))]
        token_id = sampled_token(row.identity(len(row.token_ids) - 1), self.settings.vocab_size)
        row.token_ids.append(token_id)
        return SampledRow(scheduled.row, token_id)

    def _prompt_logprobs(self, plan: StepPlan) -> list[RowPromptLogprobs]:
        """A made-up log-probability for each prompt token but the first, named by its position."""
        parts = []
        for scheduled in plan.scheduled:
            row, first = self.rows[scheduled.row], scheduled.num_computed_tokens + 1
            last = min(first + scheduled.num_scheduled_tokens, row.num_prompt_tokens)
            if row.wants_prompt_logprobs and first < last:
                entries = [[TokenLogprob(row.token_ids[at], -float(at), 1)] for at in range(first, last)]
                parts.append(RowPromptLogprobs(scheduled.row, first, entries))
        return parts


SETTINGS = EngineSettings(
    max_model_len=64,
    dtype="float32",
    vocab_size=997,
    eos_token_ids=(),
    block_size=4,
    max_num_seqs=4,
    max_num_batched_tokens=32,
    max_waiting=16,
)

MakeCore = Callable[..., EngineCore]


@pytest.fixture
def make_core() -> MakeCore:
    def make(
        num_blocks: int = 64, num_stages: int = 1, num_swap_blocks: int = 0, **deviations: object
    ) -> EngineCore:
        settings = replace(SETTINGS, **deviations)
        return EngineCore(PagedExecutor(settings, num_blocks, num_stages, num_swap_blocks), settings)

    return make


def ask(request_id: str, prompt: Sequence[int], max_tokens: int = 4, **fields: object) -> AddRequest:
    """A request; fields of the message keep their names, all others are sampling parameters."""
    message = {
        name: fields.pop(name) for name in ("priority", "cache_salt", "arrival_time") if name in fields
    }
    sampling = SamplingParams(max_tokens=max_tokens, **fields)
    return AddRequest(request_id, list(prompt), sampling, **{"arrival_time": 0.0, **message})


def run(core: EngineCore, client: bytes = b"", most_steps: int = 1000) -> dict[str, list[RequestOutput]]:
    """Step until idle; the client's outputs by request id."""
    outputs: dict[str, list[RequestOutput]] = {}
    for _ in range(most_steps):
        if not core.has_work:
            core.check_integrity()
            return outputs
        for output in core.step().get(client, []):
            outputs.setdefault(output.request_id, []).append(output)
    raise AssertionError(f"still at work after {most_steps} steps")


def tokens_of(outputs: list[RequestOutput]) -> list[int]:
    return [token_id for output in outputs for token_id in output.new_token_ids]


class Toolbox:
    """What tests of this folder share; a fixture, since test modules are not importable."""

    settings = SETTINGS
    executor = PagedExecutor
    ask = staticmethod(ask)
    run = staticmethod(run)
    tokens_of = staticmethod(tokens_of)
    continuation = staticmethod(continuation)


@pytest.fixture(scope="session")
def engine() -> type[Toolbox]:
    return Toolbox
