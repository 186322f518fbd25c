"""Lets what waits begin in order, one at each turn of the event loop."""

import asyncio
from collections import deque
from collections.abc import Callable


class Turnstile:
    """To read, check and send a request to the engine takes most of a millisecond. Between two turns the loop looks at its
    sockets, so that what is short, as a probe of /health, does not wait for a whole burst. Used on one event loop."""

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], object]] = deque()

    def enter(self, begin: Callable[[], object]) -> None:
        """Have `begin` called, at one of the next turns."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._admit)
        self._waiting.append(begin)

    def _admit(self) -> None:
        self._waiting.popleft()()
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._admit)
