"""What the engine core asks of an executor."""

from collections.abc import Callable
from typing import Protocol

from paddock.engine.executor.plan import StepPlan, StepResult, TokenMasks

MaskSource = Callable[[], TokenMasks]
"""Takes a while; what it needs is settled when the plan is made, so it may run in any thread until `collect`."""


class Executor(Protocol):
    """Owns the workers. Created with the model loaded; the cache is made once its size is known."""

    def bytes_per_block(self) -> int:
        """Bytes one KV block takes on one worker, all layers, keys and values."""

    def available_cache_bytes(self) -> int:
        """Bytes one worker can give to the KV cache after weights and the largest step's activations (profiled)."""

    def held_bytes(self) -> tuple[int, int]:
        """Over all workers: of the weights, and of one KV block."""

    def initialize_cache(self, num_blocks: int) -> None:
        """Allocate `num_blocks` blocks on every worker. Raises `MemoryError` with the arithmetic when they do not fit."""

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

    def shutdown(self) -> None:
        """Release workers and memory; safe to call twice."""
