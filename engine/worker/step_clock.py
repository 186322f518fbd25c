"""Times the steps of a worker, and the model's part in them."""

import time
from collections.abc import Callable

import torch
from torch import nn

from paddock.engine.executor.plan import StepResult
from paddock.engine.step_seconds import StepSeconds, TimedPart


class StepClock:
    """Waits for the device around what it times, at a cost in speed: made where times are asked for only."""

    def __init__(self, model: nn.Module, device: torch.device, parts: frozenset[TimedPart]) -> None:
        self._device, self._parts = device, parts
        self._began = self._in_model = 0.0
        if "model" in parts:
            model.register_forward_pre_hook(self._on_begin)
            model.register_forward_hook(self._on_end)

    def run(self, step: Callable[[], StepResult]) -> StepResult:
        """The step's result, with its times."""
        self._in_model = 0.0
        began = self._now()
        result = step()
        took = self._now() - began
        result.seconds = StepSeconds(
            self._in_model if "model" in self._parts else None, took if "worker" in self._parts else None
        )
        return result

    def _on_begin(self, *_: object) -> None:
        self._began = self._now()

    def _on_end(self, *_: object) -> None:
        # A step that memory does not hold is done in parts, each a pass of the model.
        self._in_model += self._now() - self._began

    def _now(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter()
