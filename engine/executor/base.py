"""What the engine core asks of an executor."""

from collections.abc import Callable
from typing import Protocol

from paddock.engine.executor.method_call import MethodAnswer, MethodCall
from paddock.engine.executor.plan import StepPlan, StepResult, TokenMasks
from paddock.engine.lora.adapter import Adapter

MaskSource = Callable[[], TokenMasks]
"""Takes a while; what it needs is settled when the plan is made, so it may run in any thread until `collect`."""


class Executor(Protocol):
    """Owns the workers. Created with the model loaded; the cache is made once its size is known."""

    def bytes_per_block(self) -> int:
        """Bytes one KV block takes on one worker, all layers, keys and values."""

    def available_cache_bytes(self) -> int:
        """Bytes one worker can give to the KV cache after weights and the largest step's activations (profiled)."""

    def step_bytes(self) -> int:
        """What one worker keeps free for the largest step's activations; measured by `available_cache_bytes`."""

    def held_bytes(self) -> tuple[int, int]:
        """Over all workers: of the weights, and of one KV block."""

    def swap_blocks(self) -> int:
        """Blocks that every worker can keep in host memory for preempted requests."""

    def initialize_cache(self, num_blocks: int) -> None:
        """Allocate `num_blocks` blocks on every worker. Raises `MemoryError` with the arithmetic when they do not fit."""

    def hold_adapter(self, adapter: Adapter) -> str | None:
        """Have every worker read the adapter; why one of them cannot, in words for the user, and then none holds it.

        With `settings.lora` only. Steps that were submitted before run first, for this and for `drop_adapter`.
        """

    def drop_adapter(self, number: int) -> None:
        """Have every worker forget it; no row of a later plan uses it."""

    def call_workers(self, call: MethodCall) -> list[MethodAnswer]:
        """Have every worker call a method of the user's, after the steps that were submitted before; by rank."""

    @property
    def num_stages(self) -> int:
        """Pipeline stages. The core keeps up to as many plans of different requests under way, so that none idles."""

    def submit(self, plan: StepPlan, masks: MaskSource | None = None) -> None:
        """Begin a step. `masks` is there when the plan has masked rows; the model runs while it fills them. Plans run in the order in which they come, so a later one may rely on what an earlier one
        writes: keys and values, and the token that a row samples.

        A row's next request may enter while a step that samples for its last one is under way: such a token is nobody's,
        and must not be appended to what the new request brought.
        """

    def collect(self) -> StepResult:
        """Wait for the oldest step submitted and not collected yet.

        An exception means that the engine's state is lost: the core reports it and ends. What concerns one request
        alone is told in its `SampledRow` instead.
        """

    @property
    def alarm(self) -> int | None:
        """A descriptor that turns readable when a worker in another process is lost; `check` then raises."""

    def check(self) -> None:
        """Raises `RankLostError` when a worker in another process is lost."""

    def sleep(self, level: int) -> None:
        """Give back the cache (level 1), and the weights (level 2; on a GPU also at level 1, where they cannot stay).
        No step is under way, and none comes before `wake_up`. A second call with the same level changes nothing."""

    def wake_up(self, num_blocks: int) -> None:
        """Load the weights again where they were given back, and make an empty cache. Raises what the start may."""

    def shutdown(self) -> None:
        """Release workers and memory; safe to call twice."""
