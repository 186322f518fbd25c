"""What records a step once, so that it can be run again without its launches one by one: CUDA graphs."""

from collections.abc import Callable
from typing import Protocol

import torch

Step = Callable[[], torch.Tensor]
"""Computes from memory that stays where it is; so does its result."""


class Recorder(Protocol):
    def record(self, step: Step, num_warmups: int) -> Step:
        """What does the same as `step`, with what its inputs hold by then. Raises what the step or the device raises."""


class CudaRecorder:
    """All recordings share one pool of memory: of two, only one is ever under way."""

    def __init__(self, device: torch.device) -> None:
        self._pool = torch.cuda.graph_pool_handle()
        # torch leaves the constructor untyped.
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def record(self, step: Step, num_warmups: int) -> Step:
        torch.cuda.synchronize()
        # The outer context leaves the stream also where a capture fails as it ends.
        with torch.cuda.stream(self._stream):
            for _ in range(num_warmups):
                # Compiles kernels, and takes what libraries keep for a stream: neither can be captured.
                step()
            graph = torch.cuda.CUDAGraph()
            # Other threads may ask the device for something meanwhile.
            with torch.cuda.graph(graph, self._pool, self._stream, capture_error_mode="thread_local"):
                result = step()

        def replay() -> torch.Tensor:
            graph.replay()
            return result

        return replay


def recorder_for(device: torch.device) -> Recorder | None:
    """None where the device has no graphs."""
    return CudaRecorder(device) if device.type == "cuda" else None
