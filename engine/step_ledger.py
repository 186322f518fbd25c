"""Which requests each step was made for, and what was spent on them so far."""

from collections import deque
from collections.abc import Collection, Iterable

from paddock.engine.executor.plan import StepPlan
from paddock.engine.scheduler.request import Request
from paddock.engine.step_seconds import PhaseSeconds, StepSeconds


class StepLedger:
    """Steps end in the order in which they begin."""

    def __init__(self) -> None:
        self._steps: deque[list[Request]] = deque()
        self._spent: dict[Request, PhaseSeconds] = {}

    def begin(self, plan: StepPlan, requests: Iterable[Request]) -> None:
        """`requests` hold the rows of the plan; other requests may, too, by the time the step ends."""
        rows = {scheduled.row for scheduled in plan.scheduled}
        self._steps.append([request for request in requests if request.row in rows])

    def end(self, seconds: StepSeconds, alive: Collection[Request]) -> None:
        """Before the step's tokens are told. What was spent on others than these is forgotten."""
        served = self._steps.popleft()
        known = set(alive)
        self._spent = {request: spent for request, spent in self._spent.items() if request in known}
        for request in known.intersection(served):
            spent = self._spent.get(request, PhaseSeconds())
            if request.num_generated_tokens:
                self._spent[request] = PhaseSeconds(spent.prefill, spent.decode.plus(seconds))
            else:
                self._spent[request] = PhaseSeconds(spent.prefill.plus(seconds), spent.decode)

    def spent_on(self, request: Request) -> PhaseSeconds | None:
        return self._spent.get(request)
