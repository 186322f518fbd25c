"""One token budget per step, handed out to running requests first and then to waiting ones.

There is no prefill or decode phase. A request has known and computed tokens, and a step computes some of those that
are known but not computed: one for a sequence that generates, a chunk for a long prompt, all that was lost for one
that comes back from preemption. The arithmetic is the same, and stays so when a step is planned while another one
runs: the token that the other one samples is known to come, though not its value.

What holds after every call, and is tested by a state machine: the tokens of a step never exceed the budget, running
requests never exceed the rows, the blocks of a request are held exactly while it runs, requests are admitted in the
order of their rank (but for long prompts, see `PrefillLimits`), and with any request at all and no step under way
there is a plan of at least one token.
"""

import heapq
import time

from paddock.engine.executor.plan import NewRow, SampledRow, ScheduledRow, StepPlan, StepResult
from paddock.engine.kv_cache.cache import KVCache
from paddock.engine.messages import RequestOutput
from paddock.engine.scheduler.adapter_slots import AdapterSlots
from paddock.engine.scheduler.interface import SchedulerInterface
from paddock.engine.scheduler.output import failure_of, output_of
from paddock.engine.scheduler.part_way import PartWay, PrefillLimits
from paddock.engine.scheduler.ranked_list import RankedList
from paddock.engine.scheduler.request import NO_ROW, Request
from paddock.engine.scheduler.stopping import finish_after
from paddock.engine.scheduler.under_way import StepsUnderWay, StepUnderWay
from paddock.engine.scheduler.void_blocks import builders_on
from paddock.engine.settings import EngineSettings

WATERMARK = 0.01
"""Share of the blocks that admission leaves free for running requests to grow into, against preemption soon after."""


class Scheduler(SchedulerInterface):
    """The engine's own: first come, first served, or by priority, as the ranks of the requests say."""

    def __init__(self, cache: KVCache, settings: EngineSettings, num_stages: int) -> None:
        super().__init__(cache, settings, num_stages)
        self.waiting = RankedList()
        self.running = RankedList()
        self._max_num_batched_tokens = settings.max_num_batched_tokens
        self._limits = PrefillLimits.of(settings)
        self._watermark = int(cache.num_blocks * WATERMARK)
        self._adapters = AdapterSlots(settings.lora)
        # Only a single stage can feed a row the token that it has just sampled itself.
        self._goes_ahead = settings.async_scheduling and num_stages == 1
        self._vacant_rows = list(range(settings.max_num_seqs))
        self._freed_rows: list[int] = []
        self._under_way = StepsUnderWay()
        self._num_new_prompt_tokens = 0  # of the step that is being planned

    @property
    def num_running(self) -> int:
        return len(self.running)

    @property
    def num_waiting(self) -> int:
        return len(self.waiting)

    def add(self, request: Request) -> None:
        """Put a request in the waiting queue."""
        self.waiting.add(request)

    def abort(self, request: Request) -> None:
        """Forget a request that has not finished; its row and blocks are free when this returns."""
        if request.row == NO_ROW:
            self.waiting.remove(request)
            self.cache.drop_swapped(request.table)
        else:
            self.running.remove(request)
            self._vacate(request)

    def schedule(self) -> StepPlan | None:
        """Plan the next step and count its tokens as computed."""
        scheduled: list[ScheduledRow] = []
        sampling: list[Request | None] = []
        reporting: dict[int, Request] = {}
        num_preemptions = self.counters.num_preemptions
        budget = self._advance_running(scheduled, sampling, reporting)
        # Where somebody had to give up blocks nobody gets any, least of all the same one again.
        blocks_lack = self.counters.num_preemptions > num_preemptions
        admitted = [] if blocks_lack else self._admit(budget, scheduled, sampling, reporting)
        if not scheduled:
            return None
        self.num_steps += 1
        self._under_way.begin(StepUnderWay(sampling, reporting, self._num_new_prompt_tokens))
        self._num_new_prompt_tokens = 0
        freed, self._freed_rows = self._freed_rows, []
        swapped_out, swapped_in = self.cache.swap_space.take_copies()
        return StepPlan(
            self.num_steps, freed, admitted, scheduled, swapped_out=swapped_out, swapped_in=swapped_in
        )

    def _advance_running(
        self, scheduled: list[ScheduledRow], sampling: list[Request | None], reporting: dict[int, Request]
    ) -> int:
        """Schedule the running requests in the order of their rank; returns the budget that is left."""
        budget = self._max_num_batched_tokens
        # A pipeline is full when the running requests are spread over as many steps as it has stages.
        most_rows = -(-len(self.running) // self.num_stages)
        for request in list(self.running):
            # Whoever had to give up its blocks was the last in rank, so nobody is left behind it.
            if request.row == NO_ROW or len(scheduled) == most_rows:
                break
            if request.num_pending_tokens and not self._may_go_ahead(request):
                continue
            num_tokens = len(request.token_ids) + request.num_pending_tokens - request.num_computed_tokens
            if num_tokens > 1:
                num_tokens = self._chunk(num_tokens, budget, len(scheduled))
            end = request.num_computed_tokens + num_tokens
            new_block_ids = [] if end <= request.table.capacity else self._grow(request, end)
            if new_block_ids is None:
                break
            scheduled.append(self._compute(request, num_tokens, new_block_ids, sampling, reporting))
            budget -= num_tokens
        return budget

    def _chunk(self, num_tokens: int, budget: int, num_scheduled: int) -> int:
        """One token stays reserved for each request behind, so that a long prompt never stalls a decode."""
        behind = len(self.running) - num_scheduled - 1
        return min(num_tokens, budget - behind, self._limits.most_tokens_of_one)

    def _may_go_ahead(self, request: Request) -> bool:
        """May the step after the one that samples be planned: is it certain that length does not end the request?"""
        if not self._goes_ahead or request.is_constrained:
            return False
        return len(request.token_ids) + request.num_pending_tokens < request.max_length

    def _grow(self, request: Request, num_tokens: int) -> list[int] | None:
        """Blocks for `num_tokens`, taken from the last in rank if need be; None when `request` itself had to go."""
        while not self.cache.can_extend(request.table, num_tokens):
            if self._preempt_last() is request:
                return None
        return self.cache.extend(request.table, num_tokens)

    def _preempt_last(self) -> Request:
        """Send the running request of the last rank back to the queue, its computed tokens swapped out or lost.

        It has not been scheduled in this step yet: scheduling goes by rank from the other end. A token that a step
        under way samples for it is lost, too, and will be sampled again: the noise depends on its position alone.
        """
        request = self.running[-1]
        # The last token that has a value is computed again: it yields the next one.
        num_tokens = min(request.num_computed_tokens, len(request.token_ids) - 1)
        if request.reads_prefix_cache and self.cache.can_swap_out(num_tokens):
            self.cache.swap_out(request.table, num_tokens)
        self._preempt(request)
        return request

    def _preempt(self, request: Request) -> None:
        self.running.remove(request)
        self._vacate(request)
        request.num_computed_tokens = 0
        request.num_preemptions += 1
        if not request.num_generated_tokens:
            request.prompt_logprobs = []
        self.waiting.add(request)
        self.counters.num_preemptions += 1

    def _admit(
        self,
        budget: int,
        scheduled: list[ScheduledRow],
        sampling: list[Request | None],
        reporting: dict[int, Request],
    ) -> list[NewRow]:
        """Let waiting requests in while rows, budget and blocks for all their known tokens last."""
        new_rows: list[NewRow] = []
        part_way = PartWay(self._limits, self.running)
        position, adapters_wait = 0, False
        while position < len(self.waiting) and self._vacant_rows and budget:
            request = self.waiting[position]
            # Whoever lacks room for its adapter holds back all behind it that have one, or it might wait for ever.
            adapters_wait = adapters_wait or not self._adapters.has_room(request)
            if part_way.holds_back(request) or (adapters_wait and request.adapter is not None):
                position += 1
                continue
            num_known = len(request.token_ids)
            prefix = (
                self.cache.find_prefix(request.table, request.token_ids) if request.reads_prefix_cache else []
            )
            num_cached = self.cache.num_kept(request.table, prefix)
            num_tokens = part_way.tokens_of_first_step(num_known - num_cached, budget)
            if not num_tokens:
                break
            if not self.cache.fits(prefix, num_known, self._watermark if self.running else 0):
                break
            self.cache.admit(request.table, prefix, num_known)
            new_rows.append(self._enter(request, num_cached))
            block_ids = list(request.table.block_ids)
            scheduled.append(self._compute(request, num_tokens, block_ids, sampling, reporting))
            part_way.admitted(request)
            budget -= num_tokens
        return new_rows

    def _enter(self, request: Request, num_cached: int) -> NewRow:
        self.waiting.remove(request)
        self.running.add(request)
        self._adapters.take(request)
        request.row = heapq.heappop(self._vacant_rows)
        request.num_computed_tokens = num_cached
        request.num_prefill_tokens = len(request.token_ids)
        if request.scheduled_time is None:
            self._first_admission(request, num_cached)
        # A copy: the worker appends to its own list what it samples.
        token_ids = list(request.token_ids)
        return NewRow(
            request.row,
            request.request_id,
            token_ids,
            request.num_prompt_tokens,
            request.sampling,
            request.pooling,
            0 if request.adapter is None else request.adapter.number,
        )

    def _first_admission(self, request: Request, num_cached: int) -> None:
        request.scheduled_time = time.time()
        request.num_cached_tokens = request.num_prompt_tokens_counted = num_cached
        if self.cache.prefix_caching and request.reads_prefix_cache:
            self.counters.prefix_cache_queries += request.num_prompt_tokens
            self.counters.prefix_cache_hits += num_cached

    def _compute(
        self,
        request: Request,
        num_tokens: int,
        new_block_ids: list[int],
        sampling: list[Request | None],
        reporting: dict[int, Request],
    ) -> ScheduledRow:
        start = request.num_computed_tokens
        end = request.num_computed_tokens = start + num_tokens
        num_valued = len(request.token_ids)
        if end >= request.table.next_full:
            self._register_full_blocks(request)
        if start < request.num_prompt_tokens:
            self._count_prompt_tokens(request)
            if request.sampling.prompt_logprobs is not None:
                reporting[request.row] = request
        samples = end == num_valued + request.num_pending_tokens
        if samples:
            request.num_pending_tokens += 1
            sampling.append(request)
        else:
            reporting[request.row] = request
        return ScheduledRow(request.row, start, num_tokens, new_block_ids, samples)

    def _register_full_blocks(self, request: Request) -> None:
        """A block gets its name from its tokens, so one with a token that has no value yet must wait for it."""
        num_valued = min(request.num_computed_tokens, len(request.token_ids))
        self.cache.register_full_blocks(request.table, request.token_ids, num_valued)

    def _count_prompt_tokens(self, request: Request) -> None:
        reached = min(request.num_computed_tokens, request.num_prompt_tokens)
        if reached > request.num_prompt_tokens_counted:
            self._num_new_prompt_tokens += reached - request.num_prompt_tokens_counted
            request.num_prompt_tokens_counted = reached

    def update(self, result: StepResult) -> list[tuple[Request, RequestOutput]]:
        """Take in the tokens of the oldest step under way; requests that end give up rows and blocks now."""
        step = self._under_way.end()
        # Not as they are planned: the step before would seem to have computed them.
        self.counters.num_prompt_tokens += step.num_prompt_tokens
        ended = self._fail(step, result) if result.failed else []
        for part in result.prompt_logprobs:
            reporter = step.reporting.get(part.row)
            if reporter is not None and not reporter.num_generated_tokens:
                reporter.prompt_logprobs += part.positions
        return ended + [
            (request, self._take(request, sampled))
            for request, sampled in zip(step.sampling, result.sampled, strict=True)
            if request is not None
        ]

    def _fail(self, step: StepUnderWay, result: StepResult) -> list[tuple[Request, RequestOutput]]:
        """End the requests whose rows failed, and begin anew those that have built on what these did not write."""
        holders = dict(step.reporting)
        for request, sampled in zip(step.sampling, result.sampled, strict=True):
            if request is not None:
                holders[sampled.row] = request
        ended = []
        for failed in result.failed:
            request = holders.get(failed.row)
            if request is not None:
                ended.append((request, failure_of(request, failed.error)))
                self._end(request)
                step.strike_out(request)
        void = {block_id for failed in result.failed for block_id in failed.block_ids}
        for request in builders_on(void, self.running, self.cache):
            self._preempt(request)
            step.strike_out(request)
        # What the next step swaps out may be just that. It is rare enough to let all go.
        for request in self.waiting:
            self.cache.drop_swapped(request.table)
        return ended

    def _take(self, request: Request, sampled: SampledRow) -> RequestOutput:
        request.num_pending_tokens -= 1
        if sampled.error is not None:
            self._end(request)
            return failure_of(request, sampled.error)
        self.counters.num_generation_tokens += 1
        request.token_ids.append(sampled.token_id)
        if request.num_computed_tokens >= request.table.next_full:
            self._register_full_blocks(request)
        finish = finish_after(request)
        if finish is not None:
            self._end(request)
        return output_of(request, sampled, finish)

    def _end(self, request: Request) -> None:
        self.running.remove(request)
        self._vacate(request)

    def _vacate(self, request: Request) -> None:
        """Free the row and the blocks of a request that has just left the running ones."""
        self._under_way.strike_out(request)
        self._adapters.give_back(request)
        self.cache.release(request.table)
        heapq.heappush(self._vacant_rows, request.row)
        self._freed_rows.append(request.row)
        request.row = NO_ROW

    def check_integrity(self) -> None:
        """Raises `CacheIntegrityError` when the blocks of all requests are not exactly the used ones."""
        self.cache.check_integrity(request.table for request in [*self.running, *self.waiting])
