"""A recorder for devices without graphs: it runs the step anew, on the same buffers, to a result that stays in place."""

from collections.abc import Callable

import torch


class RerunRecorder:
    def __init__(self) -> None:
        self.num_replays = 0

    def record(self, step: Callable[[], torch.Tensor], num_warmups: int) -> Callable[[], torch.Tensor]:
        for _ in range(num_warmups):
            step()
        # As on a device: a capture gives the result its place, and only a replay computes it.
        result = torch.full_like(step(), float("nan"))

        def replay() -> torch.Tensor:
            self.num_replays += 1
            return result.copy_(step())

        return replay
