"""An engine that gives its memory back while nobody needs it (`--enable-sleep-mode`), and takes it again."""

import logging
from collections import deque
from typing import TYPE_CHECKING

from paddock.engine.messages import AddRequest, RequestRefused, Sleep, SleepState, WakeUp

if TYPE_CHECKING:
    from paddock.engine.core import EngineCore

logger = logging.getLogger(__name__)

ASLEEP = "the engine is asleep, or about to be; wake it by POST /wake_up, and send the request again."


class Slumber:
    """Orders to sleep and to wake, carried out in the order in which they came. Requests that run when the engine is
    told to sleep are finished first; new ones are refused from then on."""

    def __init__(self, core: "EngineCore") -> None:
        self._core = core
        self._orders: deque[tuple[bytes, Sleep | WakeUp]] = deque()
        self.state = SleepState(0)

    def ask(self, client: bytes, order: Sleep | WakeUp) -> None:
        self._orders.append((client, order))

    def refusal_of(self, request: AddRequest) -> RequestRefused | None:
        """None while the engine is awake and nothing is to change that."""
        is_told = any(isinstance(order, Sleep) for _, order in self._orders)
        return RequestRefused(request.request_id, 503, ASLEEP) if self.state.level or is_told else None

    @property
    def is_due(self) -> bool:
        """Whether the next order can be carried out now."""
        return bool(self._orders) and not self._core.num_requests

    def carry_out(self) -> tuple[bytes, SleepState]:
        """Carry out the next order; returns who gave it, and what came of it. Slow."""
        client, order = self._orders.popleft()
        fault = self._sleep(order.level) if isinstance(order, Sleep) else self._wake_up()
        if fault:
            logger.error("the engine stays asleep: %s", fault)
        return client, SleepState(self.state.level, fault)

    def _sleep(self, level: int) -> str:
        if level > self.state.level:
            self._core.sleep(level)
            self.state = SleepState(level)
            logger.info("the engine sleeps at level %d", level)
        return ""

    def _wake_up(self) -> str:
        if not self.state.level:
            return ""
        fault = self._core.wake_up()
        if fault is not None:
            # What it got in part goes back.
            self._core.sleep(self.state.level)
            return fault
        self.state = SleepState(0)
        logger.info("the engine is awake")
        return ""
