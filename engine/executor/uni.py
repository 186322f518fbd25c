"""The executor of a single device: its worker runs in this process."""

import gc
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from paddock.engine.executor.plan import StepPlan, StepResult
from paddock.engine.models.shape import ModelShape
from paddock.engine.settings import EngineSettings
from paddock.engine.worker.worker import Worker

if TYPE_CHECKING:
    from paddock.engine.config import ServeConfig


class UniExecutor:
    """Implements `Executor`. Making it loads the model; raises `CheckpointError` when that is not possible."""

    def __init__(
        self, settings: EngineSettings, config: "ServeConfig", shape: ModelShape, path: Path
    ) -> None:
        self._worker: Worker | None = Worker(settings, config, shape, path)

    @property
    def worker(self) -> Worker:
        if self._worker is None:
            raise RuntimeError("the executor has been shut down")
        return self._worker

    def bytes_per_block(self) -> int:
        return self.worker.bytes_per_block()

    def available_cache_bytes(self) -> int:
        return self.worker.available_cache_bytes()

    def initialize_cache(self, num_blocks: int) -> None:
        self.worker.initialize_cache(num_blocks)

    def execute(self, plan: StepPlan) -> StepResult:
        return self.worker.execute(plan)

    def shutdown(self) -> None:
        self._worker = None
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
