"""Lets what waits begin in order, one at each turn of the event loop."""

import asyncio
from collections import deque
from collections.abc import Callable

MOST_PUT_OFF = 3
"""Turns that bring news in a row and begin nothing."""


class Turnstile:
    """To read, check and send a request to the engine takes most of a millisecond. Between two turns the loop looks at its
    sockets, so that what is short, as a probe of /health, does not wait for a whole burst. While the sockets bring news,
    nothing begins for a few turns: a probe may be next. Used on one event loop."""

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], object]] = deque()
        self._has_news = False
        self._put_off = 0

    def tell_of_news(self) -> None:
        """A connection or a piece of a request has come at this turn."""
        self._has_news = True

    def enter(self, begin: Callable[[], object]) -> None:
        """Have `begin` called, at one of the next turns."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._admit)
        self._waiting.append(begin)

    def _admit(self) -> None:
        if self._has_news and self._put_off < MOST_PUT_OFF:
            self._put_off += 1
        else:
            self._put_off = 0
            self._waiting.popleft()()
        self._has_news = False
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._admit)
