"""The executor of a single device: its worker runs in this process."""

import gc
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import torch

from paddock.engine.distributed.seat import Seat
from paddock.engine.distributed.topology import Topology
from paddock.engine.executor.base import MaskSource
from paddock.engine.executor.method_call import MethodAnswer, MethodCall
from paddock.engine.executor.plan import StepPlan, StepResult
from paddock.engine.lora.adapter import Adapter
from paddock.engine.models.shape import ModelShape
from paddock.engine.settings import EngineSettings
from paddock.engine.worker.choice import worker_class
from paddock.engine.worker.extension import call_method
from paddock.engine.worker.worker import Worker

if TYPE_CHECKING:
    from paddock.engine.config import ServeConfig

T = TypeVar("T")


class UniExecutor:
    """Implements `Executor`. Making it loads the model; raises `CheckpointError` when that is not possible."""

    def __init__(
        self, settings: EngineSettings, config: "ServeConfig", shape: ModelShape, path: Path
    ) -> None:
        seat = Seat(Topology.of(config))
        self._worker: Worker | None = worker_class(config)(settings, config, shape, path, seat)
        # Without a thread a step runs where it is collected, and costs no switch between threads.
        self._thread = _stepping_thread() if settings.async_scheduling else None
        self._mask_thread = ThreadPoolExecutor(1, "masks")
        self._steps: deque[Callable[[], StepResult]] = deque()

    @property
    def worker(self) -> Worker:
        if self._worker is None:
            raise RuntimeError("the executor has been shut down")
        return self._worker

    def bytes_per_block(self) -> int:
        return self.worker.bytes_per_block()

    def available_cache_bytes(self) -> int:
        return self.worker.available_cache_bytes()

    def step_bytes(self) -> int:
        return self.worker.step_bytes

    def held_bytes(self) -> tuple[int, int]:
        return self.worker.weight_bytes, self.worker.bytes_per_block()

    def swap_blocks(self) -> int:
        return self.worker.swap_blocks()

    def initialize_cache(self, num_blocks: int) -> None:
        self.worker.initialize_cache(num_blocks)

    def hold_adapter(self, adapter: Adapter) -> str | None:
        return self._after_steps(lambda: self.worker.hold_adapter(adapter))

    def drop_adapter(self, number: int) -> None:
        self._after_steps(lambda: self.worker.drop_adapter(number))

    def _after_steps(self, order: Callable[[], T]) -> T:
        """Without a thread no step is under way between `collect` and `submit`."""
        return order() if self._thread is None else self._thread.submit(order).result()

    def call_workers(self, call: MethodCall) -> list[MethodAnswer]:
        return [self._after_steps(lambda: call_method(self.worker, call))]

    def sleep(self, level: int) -> None:
        self._after_steps(lambda: self.worker.sleep(level))

    def wake_up(self, num_blocks: int) -> None:
        self._after_steps(lambda: self.worker.wake_up(num_blocks))

    @property
    def num_stages(self) -> int:
        return 1

    @property
    def alarm(self) -> None:
        return None

    def check(self) -> None:
        """The only worker is here."""

    def submit(self, plan: StepPlan, masks: MaskSource | None = None) -> None:
        """Masks are filled beside the model's step: libraries release the interpreter, as torch does."""
        filled = None if masks is None else self._mask_thread.submit(masks).result
        if self._thread is None:
            self._steps.append(lambda: self.worker.execute(plan, masks=filled))
        else:
            step: Future[StepResult] = self._thread.submit(self.worker.execute, plan, masks=filled)
            self._steps.append(step.result)

    def collect(self) -> StepResult:
        return self._steps.popleft()()

    def shutdown(self) -> None:
        self._mask_thread.shutdown()
        if self._thread is not None:
            self._thread.shutdown()
        self._worker = None
        self._steps.clear()
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _stepping_thread() -> ThreadPoolExecutor:
    """One thread, so that steps keep their order. A new thread of torch's starts with settings of its own."""
    num_threads = torch.get_num_threads()
    return ThreadPoolExecutor(1, "step", initializer=torch.set_num_threads, initargs=(num_threads,))
