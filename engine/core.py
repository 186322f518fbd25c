"""The engine without its process: requests in, tokens out, one step at a time."""

import random
from collections import deque
from collections.abc import Iterable

import msgspec

from paddock.engine.data_parallel.lockstep import Lockstep
from paddock.engine.executor.base import Executor, MaskSource
from paddock.engine.executor.method_call import MethodAnswer, MethodCall
from paddock.engine.executor.plan import StepPlan, StepResult
from paddock.engine.kv_cache.cache import KVCache
from paddock.engine.kv_cache.capacity import log_memory, log_swap_space, resolve_num_blocks
from paddock.engine.lora.adapted_requests import AdaptedRequests, unknown_adapter
from paddock.engine.lora.adapter import Adapter
from paddock.engine.messages import AddRequest, EngineStats, RequestOutput, RequestRefused
from paddock.engine.models.errors import CheckpointError
from paddock.engine.sampling.processor_choice import ProcessorChoice
from paddock.engine.scheduler.counters import Counters
from paddock.engine.scheduler.policy import POLICIES
from paddock.engine.scheduler.refusal import refusal_of
from paddock.engine.scheduler.request import Request
from paddock.engine.scheduler.selection import make_scheduler, scheduler_class
from paddock.engine.settings import EngineSettings, SettingsError
from paddock.engine.step_ledger import StepLedger
from paddock.engine.step_seconds import StepSeconds
from paddock.engine.structured_output.compiler import GrammarCompiler
from paddock.engine.structured_output.constrained_requests import ConstrainedRequests
from paddock.engine.structured_output.grammar_maker import GrammarMaker

ClientOutputs = dict[bytes, list[RequestOutput]]
"""What a step brought, by the client whose requests it is for."""


def check_named_classes(settings: EngineSettings) -> None:
    """Raises `SettingsError` for a class that cannot be loaded by its dotted path: worth asking before a model is."""
    scheduler_class(settings)
    ProcessorChoice(settings)


class EngineCore:
    """Scheduler, cache books and executor of one engine. Single-threaded; `step` is the only slow call."""

    def __init__(
        self,
        executor: Executor,
        settings: EngineSettings,
        grammars: GrammarMaker | None = None,
        lockstep: Lockstep | None = None,
    ) -> None:
        """Sizes and allocates the cache. Raises `MemoryError`, with words for the user, when it cannot.

        Without `grammars` there is no constrained output. With a `lockstep` other replicas share this one's experts.
        """
        self.settings = settings
        self._executor = executor
        self._lockstep = lockstep
        self.num_blocks = resolve_num_blocks(
            settings, executor.bytes_per_block(), executor.available_cache_bytes()
        )
        log_memory(settings, self.num_blocks, executor.held_bytes(), executor.step_bytes())
        executor.initialize_cache(self.num_blocks)
        cache = KVCache(
            self.num_blocks,
            settings.block_size,
            settings.enable_prefix_caching,
            settings.prefix_caching_hash_algo,
            executor.swap_blocks(),
        )
        log_swap_space(cache)
        self._scheduler = make_scheduler(settings, cache, executor.num_stages)
        self._processors = ProcessorChoice(settings)
        self._constrained = None if grammars is None else ConstrainedRequests(GrammarCompiler(grammars))
        self._submitted: deque[StepPlan] = deque()
        self._ledger = StepLedger() if settings.timed_parts else None
        self._requests: dict[tuple[bytes, str], Request] = {}
        self.adapters: AdaptedRequests | None = None
        """None where no adapters are served."""
        if settings.lora is not None:
            self.adapters = AdaptedRequests(settings.lora, executor, self._requests.values())
        self._num_arrived = 0
        self._rank = POLICIES[settings.scheduling_policy]
        self._seeds = random.Random(settings.seed)
        self._eos_token_ids = frozenset(settings.eos_token_ids)

    def held_bytes(self) -> tuple[int, int]:
        """Over all workers: of the weights, and of one token in the cache."""
        weights, block = self._executor.held_bytes()
        return weights, block // self.settings.block_size

    @property
    def num_requests(self) -> int:
        """Those that have not ended."""
        return len(self._requests)

    @property
    def has_work(self) -> bool:
        """Whether there is a step to make. Requests that wait for their grammar make none."""
        return bool(len(self._requests) > self._num_uncompiled or self._submitted or self._is_behind)

    @property
    def _is_behind(self) -> bool:
        return self._lockstep is not None and self._lockstep.is_behind

    @property
    def bell(self) -> int | None:
        """A descriptor that turns readable when another replica may wait for a step of this one; see `hear`."""
        return None if self._lockstep is None else self._lockstep.bell

    def hear(self) -> None:
        """Let the bell be rung again; there may be work afterwards."""
        if self._lockstep is not None:
            self._lockstep.hear()

    @property
    def _num_uncompiled(self) -> int:
        return 0 if self._constrained is None else self._constrained.num_waiting

    @property
    def alarm(self) -> int | None:
        """A descriptor that turns readable when a step would raise because a worker is lost."""
        return self._executor.alarm

    @property
    def grammar_alarm(self) -> int | None:
        """A descriptor that turns readable when `settle` has something to do; it may come to have so with time, too."""
        return None if self._constrained is None else self._constrained.compiler.alarm

    @property
    def num_steps(self) -> int:
        return self._scheduler.num_steps

    def add(self, message: AddRequest, client: bytes = b"") -> RequestRefused | None:
        """Queue a request, or say why not; a refused request leaves nothing behind."""
        key = (client, message.request_id)
        if key in self._requests:
            text = f"request id {message.request_id!r} is in use: ids are unique until the request has ended"
            return RequestRefused(message.request_id, 400, text, "request_id")
        refusal = refusal_of(
            message, self.settings, self._processors, len(self._requests), self._constrained is not None
        )
        adapter = self._adapter_of(message)
        if refusal is None and adapter is None and message.adapter is not None:
            refusal = unknown_adapter(message, [] if self.adapters is None else self.adapters.served)
        if refusal is None:
            request = self._requests[key] = self._request_from(message, client, adapter)
            if self._constrained is not None and request.is_constrained:
                self._constrained.add(request)
            else:
                self._scheduler.add(request)
        return refusal

    def settle(self) -> list[tuple[bytes, RequestRefused]]:
        """Take in the requests whose grammars are compiled; returns, with their clients, those that have to be refused."""
        refused = []
        for request, refusal in () if self._constrained is None else self._constrained.settled():
            if refusal is None:
                self._scheduler.add(request)
            else:
                del self._requests[request.client, request.request_id]
                refused.append((request.client, refusal))
        return refused

    def _adapter_of(self, message: AddRequest) -> Adapter | None:
        return (
            None if self.adapters is None or message.adapter is None else self.adapters.find(message.adapter)
        )

    def _request_from(self, message: AddRequest, client: bytes, adapter: Adapter | None) -> Request:
        sampling = message.sampling
        if sampling.seed is None:
            sampling = msgspec.structs.replace(sampling, seed=self._seeds.getrandbits(63))
        self._num_arrived += 1
        num_prompt_tokens = len(message.prompt_token_ids)
        eos_token_ids = frozenset() if sampling.ignore_eos else self._eos_token_ids
        return Request(
            client=client,
            request_id=message.request_id,
            token_ids=list(message.prompt_token_ids),
            num_prompt_tokens=num_prompt_tokens,
            sampling=sampling,
            table=self._scheduler.cache.new_table(
                message.cache_salt, 0 if adapter is None else adapter.number
            ),
            rank=self._rank(message, self._num_arrived),
            max_length=min(num_prompt_tokens + sampling.max_tokens, self.settings.max_model_len),
            eos_token_ids=eos_token_ids,
            ending_token_ids=eos_token_ids.union(sampling.stop_token_ids),
            pooling=message.pooling,
            adapter=adapter,
        )

    def abort(self, request_ids: Iterable[str], client: bytes = b"") -> None:
        """End these requests of the client now; their blocks are free when this returns. Unknown ids are ignored:
        an abort and the last token may cross on the way."""
        for request_id in request_ids:
            request = self._requests.pop((client, request_id), None)
            if request is None or (self._constrained is not None and self._constrained.remove(request)):
                continue
            self._scheduler.abort(request)
        if self.adapters is not None:
            self.adapters.sweep()

    def abort_client(self, client: bytes) -> None:
        """End every request of a client that is gone."""
        self.abort([request_id for owner, request_id in self._requests if owner == client], client)

    def step(self) -> ClientOutputs:
        """Get one step's tokens; others may be under way when this returns. Only with work.

        An exception means that the engine's state is lost. Without work it is still raised when a worker is lost.
        """
        self._executor.check()
        self._submit_steps()
        result = self._executor.collect()
        plan = self._submitted.popleft()
        _check_answers(plan, result)
        if self._ledger is not None:
            self._ledger.end(result.seconds or StepSeconds(), self._requests.values())
        if not plan.scheduled:
            return {}
        if self.adapters is not None:
            self.adapters.spoil(result)
        outputs: ClientOutputs = {}
        for request, output in self._scheduler.update(result):
            outputs.setdefault(request.client, []).append(output)
            if self._ledger is not None:
                output.spent = self._ledger.spent_on(request)
            if self._constrained is not None and request.is_constrained:
                self._constrained.advance(request, output)
            if output.finish_reason is not None:
                del self._requests[request.client, request.request_id]
        if self.adapters is not None:
            self.adapters.sweep()
        return outputs

    def _submit_steps(self) -> None:
        """Plan ahead as far as the scheduler goes: the executor works on the next step while we handle the last."""
        while len(self._submitted) < self._scheduler.most_steps_under_way:
            plan = self._scheduler.schedule()
            if plan is None:
                break
            if self.adapters is not None:
                self.adapters.prepare(plan)
            masks = None if self._constrained is None else self._constrained.masks_for(plan)
            self._submit(plan, masks)
        if not self._submitted and self._is_behind:
            self._submit(StepPlan(self._scheduler.num_steps, [], [], []))
        if not self._submitted:
            raise RuntimeError(
                f"{type(self._scheduler).__name__} holds {self._scheduler.num_running} running and "
                f"{self._scheduler.num_waiting} waiting requests and planned no step"
            )

    def _submit(self, plan: StepPlan, masks: MaskSource | None = None) -> None:
        if self._lockstep is not None:
            self._lockstep.begin()
        if self._ledger is not None:
            self._ledger.begin(plan, self._requests.values())
        self._executor.submit(plan, masks)
        self._submitted.append(plan)

    def reset_prefix_cache(self) -> int:
        """Forget the cached blocks that no request holds; returns how many there were."""
        return self._scheduler.cache.reset_prefix_cache()

    def call_workers(self, call: MethodCall) -> list[MethodAnswer]:
        """See `Executor.call_workers`."""
        return self._executor.call_workers(call)

    def sleep(self, level: int) -> None:
        """Give memory back, see `Executor.sleep`. Only without requests, of which there may be none until `wake_up`."""
        self.reset_prefix_cache()
        self._executor.sleep(level)

    def wake_up(self) -> str | None:
        """Take the memory again; why that cannot be, in words for the user, or None."""
        try:
            self._executor.wake_up(self.num_blocks)
        except (CheckpointError, SettingsError, MemoryError) as error:
            return str(error) or "not enough memory"
        return None

    def counters(self) -> Counters:
        """A copy of what has been counted since the start."""
        return self._scheduler.counters.copy()

    def stats(self, counted: Counters) -> EngineStats:
        """The gauges as they are now, beside `counted`."""
        return EngineStats(
            num_running=self._scheduler.num_running,
            num_waiting=self._scheduler.num_waiting,
            kv_cache_usage=self._scheduler.cache.usage,
            prefix_cache_queries=counted.prefix_cache_queries,
            prefix_cache_hits=counted.prefix_cache_hits,
            num_preemptions=counted.num_preemptions,
            num_prompt_tokens=counted.num_prompt_tokens,
            num_generation_tokens=counted.num_generation_tokens,
            num_swapped=self._scheduler.cache.swap_space.num_holders,
            swap_space_usage=self._scheduler.cache.swap_space.usage,
            running_adapters=[] if self.adapters is None else self.adapters.names(running=True),
            waiting_adapters=[] if self.adapters is None else self.adapters.names(running=False),
        )

    def check_integrity(self) -> None:
        """Compare the cache's books with the running requests; raises `CacheIntegrityError` with the numbers."""
        self._scheduler.check_integrity()

    def shutdown(self) -> None:
        self._executor.shutdown()
        if self._constrained is not None:
            self._constrained.compiler.close()


def _check_answers(plan: StepPlan, result: StepResult) -> None:
    """A row without its token would wait for ever, so a short answer ends the engine instead."""
    expected = [row.row for row in plan.scheduled if row.samples]
    if result.step != plan.step or [sampled.row for sampled in result.sampled] != expected:
        raise RuntimeError(
            f"step {plan.step} asked for tokens in {len(expected)} rows; the executor answered step {result.step} "
            f"with {len(result.sampled)}, or in another order"
        )
