"""What the engine core asks of an executor."""

from typing import Protocol

from paddock.engine.executor.plan import StepPlan, StepResult


class Executor(Protocol):
    """Owns the workers. Created with the model loaded; the cache is made once its size is known."""

    def bytes_per_block(self) -> int:
        """Bytes one KV block takes on one worker, all layers, keys and values."""

    def available_cache_bytes(self) -> int:
        """Bytes one worker can give to the KV cache after weights and the largest step's activations (profiled)."""

    def initialize_cache(self, num_blocks: int) -> None:
        """Allocate `num_blocks` blocks on every worker. Raises `MemoryError` with the arithmetic when they do not fit."""

    def execute(self, plan: StepPlan) -> StepResult:
        """Run one step. An exception means that the engine's state is lost: the core reports it and ends."""

    def shutdown(self) -> None:
        """Release workers and memory; safe to call twice."""
