"""One token budget per step, handed out to running requests first and then to waiting ones.

There is no prefill or decode phase. A request has known and computed tokens, and a step computes some of those that
are known but not computed: one for a sequence that generates, a chunk for a long prompt, all that was lost for one
that comes back from preemption. The arithmetic is the same.

What holds after every call, and is tested by a state machine: the tokens of a step never exceed the budget, running
requests never exceed the rows, the blocks of a request are held exactly while it runs, requests are admitted in the
order of their rank, and a step with any request at all computes at least one token.
"""

import heapq
import time

import msgspec

from paddock.engine.executor.plan import NewRow, SampledRow, ScheduledRow, StepPlan, StepResult
from paddock.engine.kv_cache.cache import KVCache
from paddock.engine.messages import RequestOutput
from paddock.engine.scheduler.counters import Counters
from paddock.engine.scheduler.ranked_list import RankedList
from paddock.engine.scheduler.request import NO_ROW, Request
from paddock.engine.scheduler.stopping import Finish, finish_after

WATERMARK = 0.01
"""Share of the blocks that admission leaves free for running requests to grow into, against preemption soon after."""


class Scheduler:
    """Owns the requests, their rows and their blocks. Called from one thread; `schedule` and `update` alternate."""

    def __init__(
        self, cache: KVCache, *, max_num_seqs: int, max_num_batched_tokens: int, chunked_prefill: bool
    ) -> None:
        self.cache = cache
        self.waiting = RankedList()
        self.running = RankedList()
        self.counters = Counters()
        self._max_num_batched_tokens = max_num_batched_tokens
        self._chunked_prefill = chunked_prefill
        self._watermark = int(cache.num_blocks * WATERMARK)
        self._in_row: list[Request | None] = [None] * max_num_seqs
        self._vacant_rows = list(range(max_num_seqs))
        self._freed_rows: list[int] = []
        self.num_steps = 0

    def add(self, request: Request) -> None:
        """Put a request in the waiting queue."""
        self.waiting.add(request)

    def abort(self, request: Request) -> None:
        """Forget a request that has not finished; its row and blocks are free when this returns."""
        if request.row == NO_ROW:
            self.waiting.remove(request)
        else:
            self.running.remove(request)
            self._vacate(request)

    def schedule(self) -> StepPlan:
        """Plan the next step and count its tokens as computed."""
        self.num_steps += 1
        scheduled: list[ScheduledRow] = []
        budget = self._advance_running(scheduled)
        # Who had to give blocks up in this step needs more than are left, and nobody overtakes: it is not let back in.
        admitted = self._admit(budget, scheduled)
        freed, self._freed_rows = self._freed_rows, []
        return StepPlan(self.num_steps, freed, admitted, scheduled)

    def _advance_running(self, scheduled: list[ScheduledRow]) -> int:
        """Schedule the running requests in the order of their rank; returns the budget that is left."""
        budget = self._max_num_batched_tokens
        position = 0
        while position < len(self.running):
            request = self.running[position]
            # One token stays reserved for each request behind, so that a long prompt never stalls a decode.
            most = budget - (len(self.running) - position - 1)
            num_tokens = min(len(request.token_ids) - request.num_computed_tokens, most)
            new_block_ids = self._grow(request, request.num_computed_tokens + num_tokens)
            if new_block_ids is None:
                break
            scheduled.append(self._compute(request, num_tokens, new_block_ids))
            budget -= num_tokens
            position += 1
        return budget

    def _grow(self, request: Request, num_tokens: int) -> list[int] | None:
        """Blocks for `num_tokens`, taken from the last in rank if need be; None when `request` itself had to go."""
        if num_tokens <= request.table.capacity:
            return []
        while not self.cache.can_extend(request.table, num_tokens):
            if self._preempt_last() is request:
                return None
        return self.cache.extend(request.table, num_tokens)

    def _preempt_last(self) -> Request:
        """Send the running request of the last rank back to the queue, its computed tokens lost.

        It has not been scheduled in this step yet: scheduling goes by rank from the other end.
        """
        request = self.running[-1]
        self.running.remove(request)
        self._vacate(request)
        request.num_computed_tokens = 0
        request.num_preemptions += 1
        if not request.num_generated_tokens:
            request.prompt_logprobs = []
        self.waiting.add(request)
        self.counters.num_preemptions += 1
        return request

    def _admit(self, budget: int, scheduled: list[ScheduledRow]) -> list[NewRow]:
        """Let waiting requests in while rows, budget and blocks for all their known tokens last; none overtakes."""
        new_rows: list[NewRow] = []
        while self.waiting and self._vacant_rows and budget:
            request = self.waiting[0]
            num_known = len(request.token_ids)
            prefix = (
                self.cache.find_prefix(request.table, request.token_ids) if request.reads_prefix_cache else []
            )
            num_cached = len(prefix) * self.cache.block_size
            if num_known - num_cached > budget and not self._chunked_prefill:
                break
            if not self.cache.fits(prefix, num_known, self._watermark if self.running else 0):
                break
            self.cache.admit(request.table, prefix, num_known)
            new_rows.append(self._enter(request, num_cached))
            num_tokens = min(num_known - num_cached, budget)
            scheduled.append(self._compute(request, num_tokens, list(request.table.block_ids)))
            budget -= num_tokens
        return new_rows

    def _enter(self, request: Request, num_cached: int) -> NewRow:
        self.waiting.remove(request)
        self.running.add(request)
        request.row = heapq.heappop(self._vacant_rows)
        self._in_row[request.row] = request
        request.num_computed_tokens = num_cached
        if request.scheduled_time is None:
            self._first_admission(request, num_cached)
        # A copy: the worker appends to its own list what it samples.
        token_ids = list(request.token_ids)
        return NewRow(request.row, request.request_id, token_ids, request.num_prompt_tokens, request.sampling)

    def _first_admission(self, request: Request, num_cached: int) -> None:
        request.scheduled_time = time.time()
        request.num_cached_tokens = request.num_prompt_tokens_counted = num_cached
        if self.cache.prefix_caching and request.reads_prefix_cache:
            self.counters.prefix_cache_queries += request.num_prompt_tokens
            self.counters.prefix_cache_hits += num_cached

    def _compute(self, request: Request, num_tokens: int, new_block_ids: list[int]) -> ScheduledRow:
        start = request.num_computed_tokens
        end = request.num_computed_tokens = start + num_tokens
        if end >= request.table.next_full:
            self.cache.register_full_blocks(request.table, request.token_ids, end)
        if request.num_prompt_tokens_counted < request.num_prompt_tokens:
            self._count_prompt_tokens(request)
        return ScheduledRow(request.row, start, num_tokens, new_block_ids, end == len(request.token_ids))

    def _count_prompt_tokens(self, request: Request) -> None:
        reached = min(request.num_computed_tokens, request.num_prompt_tokens)
        if reached > request.num_prompt_tokens_counted:
            self.counters.num_prompt_tokens += reached - request.num_prompt_tokens_counted
            request.num_prompt_tokens_counted = reached

    def update(self, result: StepResult) -> list[tuple[Request, RequestOutput]]:
        """Take in the tokens of the step planned last; requests that end give up rows and blocks now."""
        for part in result.prompt_logprobs:
            request = self._request_in(part.row)
            if not request.num_generated_tokens:
                request.prompt_logprobs += part.positions
        self.counters.num_generation_tokens += len(result.sampled)
        return [self._take(sampled) for sampled in result.sampled]

    def _request_in(self, row: int) -> Request:
        request = self._in_row[row]
        if request is None:
            raise RuntimeError(f"the executor answered for row {row}, which holds no request")
        return request

    def _take(self, sampled: SampledRow) -> tuple[Request, RequestOutput]:
        request = self._request_in(sampled.row)
        request.token_ids.append(sampled.token_id)
        finish = finish_after(request)
        if finish is not None:
            self.running.remove(request)
            self._vacate(request)
        return request, _output(request, sampled, finish)

    def _vacate(self, request: Request) -> None:
        """Free the row and the blocks of a request that has just left the running ones."""
        self.cache.release(request.table)
        self._in_row[request.row] = None
        heapq.heappush(self._vacant_rows, request.row)
        self._freed_rows.append(request.row)
        request.row = NO_ROW

    def check_integrity(self) -> None:
        """Raises `CacheIntegrityError` when the blocks of the running requests are not exactly the used ones."""
        self.cache.check_integrity(request.table for request in self.running)


def _output(request: Request, sampled: SampledRow, finish: Finish | None) -> RequestOutput:
    reason, stop_token_id = finish or (None, None)
    output = RequestOutput(
        request.request_id,
        [sampled.token_id],
        logprobs=None if sampled.logprobs is None else [sampled.logprobs],
        finish_reason=reason,
        stop_reason=stop_token_id,
        num_preemptions=request.num_preemptions,
    )
    return output if request.num_generated_tokens > 1 else _with_first_facts(request, output)


def _with_first_facts(request: Request, output: RequestOutput) -> RequestOutput:
    """Add what the first output of a request carries and later ones do not."""
    return msgspec.structs.replace(
        output,
        prompt_logprobs=request.prompt_logprobs if request.sampling.prompt_logprobs is not None else None,
        num_cached_tokens=request.num_cached_tokens,
        scheduled_time=request.scheduled_time,
    )
