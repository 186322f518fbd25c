"""Calls that one thread asks for and the event loop of another makes."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any


class Handover:
    """Made in order, soon. The loop is woken once for all that gather meanwhile: a wake costs more than most calls."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._calls: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._is_woken = False

    def call(self, function: Callable[..., object], *arguments: Any) -> None:
        """From any thread. Raises RuntimeError once the loop is closed."""
        self._calls.append((function, arguments))
        if not self._is_woken:
            self._is_woken = True
            self._loop.call_soon_threadsafe(self._take)

    def _take(self) -> None:
        # First, so that whoever comes after the last look wakes the loop again.
        self._is_woken = False
        while self._calls:
            function, arguments = self._calls.popleft()
            self._loop.call_soon(function, *arguments)
