"""A queue of keys: each at most once, never two workers on one key, failures back off by key.

`Schedule` is the policy over plain numbers, with time passed in; `WorkQueue` lets coroutines wait for it.
"""

from __future__ import annotations

import asyncio
import heapq
import math
import random
import time
from collections.abc import Callable

Key = tuple[str, str]
"""Namespace and name of an InferenceService."""

FIRST_DELAY = 1.0
LONGEST_DELAY = 300.0
FIRST_REST = 0.1
LONGEST_REST = 60.0


class Schedule:
    """Which key is due when. Seconds everywhere; `jitter()` returns a number in [0, 1)."""

    def __init__(self, jitter: Callable[[], float] = random.random) -> None:
        self._jitter = jitter
        self._due: dict[Key, float] = {}
        self._order: list[
            tuple[float, Key]
        ] = []  # a heap; entries that no longer hold stay until they surface
        self._working: set[Key] = set()
        self._failures: dict[Key, int] = {}
        self._changes: dict[Key, int] = {}
        self._rests_until: dict[Key, float] = {}

    def __len__(self) -> int:
        return len(self._due)

    def add(self, key: Key, at: float) -> None:
        """Wants `key` worked on at `at`. Of several wishes the earliest counts."""
        if at < self._due.get(key, math.inf):
            self._due[key] = at
            self._line_up(key)

    def take(self, now: float) -> Key | None:
        """The key that has been due longest, if one is due and nobody works on it. Must be given to `done`."""
        soonest = self.next_due()
        if soonest is None or soonest > now:
            return None
        key = heapq.heappop(self._order)[1]
        del self._due[key]
        self._working.add(key)
        return key

    def done(self, key: Key) -> None:
        """The worker is through. What was added meanwhile becomes takeable."""
        self._working.remove(key)
        self._line_up(key)

    def retry(self, key: Key, now: float, at_least: float = 0.0) -> float:
        """Schedules `key` again after a failure and returns the delay.

        1 s, doubled each time up to 5 min, half of it jitter, and not below the `at_least` that a server
        asked for.
        """
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        whole = min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** min(failures, 20))
        delay = max(at_least, whole / 2 + whole / 2 * self._jitter())
        self.add(key, now + delay)
        return delay

    def succeeded(self, key: Key, now: float, changed: bool) -> None:
        """The next failure starts from the shortest delay.

        A pass that changed something lets the key rest, longer each time in a row (0.1 s to 60 s), whatever
        wakes it: somebody who undoes our changes as fast as we make them must not get a hot loop.
        """
        self._failures.pop(key, None)
        if not changed:
            self._changes.pop(key, None)
            self._rests_until.pop(key, None)
            self._line_up(key)
            return
        changes = self._changes.get(key, 0)
        self._changes[key] = changes + 1
        self._rests_until[key] = now + min(LONGEST_REST, FIRST_REST * 2.0 ** min(changes, 20))
        self._line_up(key)

    def forget(self, key: Key) -> None:
        """The object is gone: nothing is kept of it but a wish to look that came meanwhile."""
        for memory in (self._failures, self._changes, self._rests_until):
            memory.pop(key, None)
        self._line_up(key)

    def _takeable_at(self, key: Key) -> float:
        if key in self._working or key not in self._due:
            return math.inf
        return max(self._due[key], self._rests_until.get(key, -math.inf))

    def _line_up(self, key: Key) -> None:
        """To be called whenever `_takeable_at` may have changed."""
        if (at := self._takeable_at(key)) < math.inf:
            heapq.heappush(self._order, (at, key))

    def next_due(self) -> float | None:
        """When the next key that nobody works on is due."""
        while self._order:
            at, key = self._order[0]
            if at == self._takeable_at(key):
                return at
            heapq.heappop(self._order)
        return None

    def waiting(self, now: float) -> int:
        """How many keys a worker could take now; neither those that are due later nor those worked on."""
        return sum(self._takeable_at(key) <= now for key in self._due)

    def oldest_wait(self, now: float) -> float:
        """For how long the longest overdue key has waited."""
        return max(0.0, now - min(self._due.values(), default=now))


class WorkQueue:
    """A Schedule on the event loop's clock."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.schedule = Schedule()
        self._clock = clock
        self._changed = asyncio.Event()

    def add(self, key: Key, delay: float = 0.0) -> None:
        self.schedule.add(key, self._clock() + delay)
        self._changed.set()

    def retry(self, key: Key, at_least: float = 0.0) -> float:
        """As Schedule.retry, from now on."""
        return self.schedule.retry(key, self._clock(), at_least)

    def succeeded(self, key: Key, changed: bool) -> None:
        """As Schedule.succeeded, now."""
        self.schedule.succeeded(key, self._clock(), changed)

    def done(self, key: Key) -> None:
        self.schedule.done(key)
        self._changed.set()

    def waiting(self) -> int:
        """As Schedule.waiting, now."""
        return self.schedule.waiting(self._clock())

    def oldest_wait(self) -> float:
        return self.schedule.oldest_wait(self._clock())

    async def take(self) -> Key:
        """Waits for a key. Idle, this costs nothing: it sleeps until the next key is due or one is added."""
        while True:
            now = self._clock()
            if (key := self.schedule.take(now)) is not None:
                return key
            self._changed.clear()
            due = self.schedule.next_due()
            try:
                async with asyncio.timeout(None if due is None else max(0.0, due - now)):
                    await self._changed.wait()
            except TimeoutError:
                continue
