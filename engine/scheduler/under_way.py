"""Steps that were planned and not answered yet, and whom their answers are for."""

from collections import deque
from dataclasses import dataclass

from paddock.engine.scheduler.request import Request


@dataclass(slots=True)
class StepUnderWay:
    """A request that leaves its row meanwhile is struck out: the answer to it is dropped."""

    sampling: list[Request | None]
    """Requests that get a token, in plan order."""

    reporting: dict[int, Request]
    """By row, requests whose prompt log-probabilities the step may bring, and those that get no token from it."""

    num_prompt_tokens: int
    """Prompt tokens that it computes for the first time."""

    def strike_out(self, request: Request) -> None:
        self.sampling = [None if other is request else other for other in self.sampling]
        self.reporting = {row: other for row, other in self.reporting.items() if other is not request}


class StepsUnderWay:
    """Oldest first: executors answer in order."""

    def __init__(self) -> None:
        self._steps: deque[StepUnderWay] = deque()

    def __len__(self) -> int:
        return len(self._steps)

    def begin(self, step: StepUnderWay) -> None:
        self._steps.append(step)

    def end(self) -> StepUnderWay:
        """The oldest. Raises `RuntimeError` when there is none: the executor answered what nobody asked."""
        if not self._steps:
            raise RuntimeError("the executor answered a step that is not under way")
        return self._steps.popleft()

    def strike_out(self, request: Request) -> None:
        """Drop whatever is still to come for the request."""
        if request.num_pending_tokens or request.is_part_way or request.sampling.prompt_logprobs is not None:
            for step in self._steps:
                step.strike_out(request)
        request.num_pending_tokens = 0
