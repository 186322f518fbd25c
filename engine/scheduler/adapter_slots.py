"""Which adapters the running requests use: no more than `max_loras` at a time, and in the order of rank."""

from collections import Counter

from paddock.engine.lora.adapter import AdapterLimits
from paddock.engine.scheduler.request import Request


class AdapterSlots:
    """Counts the running requests of each adapter. Without limits there are no adapters, and nothing to count."""

    def __init__(self, limits: AdapterLimits | None) -> None:
        self._most = 0 if limits is None else limits.max_loras
        self._running: Counter[int] = Counter()

    def has_room(self, request: Request) -> bool:
        """May it run beside those that do?"""
        if request.adapter is None or request.adapter.number in self._running:
            return True
        return len(self._running) < self._most

    def take(self, request: Request) -> None:
        if request.adapter is not None:
            self._running[request.adapter.number] += 1

    def give_back(self, request: Request) -> None:
        if request.adapter is not None:
            number = request.adapter.number
            self._running[number] -= 1
            if not self._running[number]:
                del self._running[number]
