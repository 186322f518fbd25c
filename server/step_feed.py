"""Hands the outputs of the engine's steps out, a chunk at each turn of the event loop."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator

from paddock.engine.messages import EngineStats, RequestOutput, StepOutputs

DEFAULT_CHUNK = 8
"""Outputs of a turn. Each becomes text and is written, which takes some twenty microseconds; a turn more costs less."""
ENDING_WEIGHT = 6
"""What ends a sequence counts for so many: its request's metrics and connection take a hundred microseconds, and sequences
that began together often end together."""


class StepFeed:
    """Outputs keep their order over steps. Used on one running event loop."""

    def __init__(
        self,
        give: Callable[[RequestOutput, float], None],
        end_step: Callable[[EngineStats], None],
        chunk: int = DEFAULT_CHUNK,
    ) -> None:
        """`give` hears of each output and when its step was read; `end_step` follows the last output of a step.

        A turn hands out `chunk` outputs, or fewer where some of them end their sequences.
        """
        self._give = give
        self._end_step = end_step
        self._chunk = chunk
        self._loop = asyncio.get_running_loop()
        self._steps: deque[tuple[Iterator[RequestOutput], float, EngineStats]] = deque()

    def put(self, step: StepOutputs, now: float) -> None:
        """Have its outputs handed out at the next turns, after those that came earlier."""
        if not self._steps:
            self._loop.call_soon(self._turn)
        self._steps.append((iter(step.outputs), now, step.stats))

    def flush(self) -> None:
        """Hand out all that has come."""
        while self._steps:
            self._hand_out_chunk()

    def _turn(self) -> None:
        if self._steps:  # a flush may have come first
            self._hand_out_chunk()
        if self._steps:
            self._loop.call_soon(self._turn)

    def _hand_out_chunk(self) -> None:
        """Of the oldest step."""
        outputs, now, stats = self._steps[0]
        left = self._chunk
        while left > 0:
            output = next(outputs, None)
            if output is None:
                self._steps.popleft()
                self._end_step(stats)
                return
            self._give(output, now)
            left -= 1 if output.finish_reason is None else ENDING_WEIGHT
