"""Responses that can be fetched later: in the memory of this process, bounded in bytes and in time."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import msgspec

from paddock.server.errors import ApiError, unavailable
from paddock.server.protocol.replies import KEEP_ALIVE_EVENT
from paddock.server.protocol.response_replies import ResponseReply
from paddock.server.responses.conversation import Item

MAX_BYTES = 64 * 2**20
"""Of all responses with their inputs and events, as JSON. The oldest ended ones make room."""

MAX_RUNNING = 128
"""Responses that run in the background."""

LIFETIME_SECONDS = 3600.0
"""From when a response was made. One that runs is kept until it has ended."""

KEEP_ALIVE_SECONDS = 15.0
"""A follower without events for so long gets a comment."""


@dataclass(eq=False)
class StoredResponse:
    response: ResponseReply
    input: list[Item]
    """The whole conversation before the answer, without the instructions."""

    events: list[bytes] | None = None
    """Of a stream that goes on in the background; the place of each is its number."""

    cancel: Callable[[], None] | None = None
    """While it runs in the background."""

    made_at: float = field(default_factory=time.monotonic)
    num_bytes: int = 0
    grown: asyncio.Event = field(default_factory=asyncio.Event)

    def conversation(self) -> list[Item]:
        """What came before, and the answer."""
        answer: list[Item] = msgspec.to_builtins(self.response.output)
        return [*self.input, *answer]

    async def follow(self, after: int) -> AsyncIterator[bytes]:
        """Events with numbers above `after`, until the response has ended."""
        assert self.events is not None
        at = after + 1
        while True:
            grown = self.grown
            for event in self.events[at:]:
                yield event
                at += 1
            if self.cancel is None and at >= len(self.events):
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(KEEP_ALIVE_SECONDS):
                    await grown.wait()
                    continue
            yield KEEP_ALIVE_EVENT

    async def ended(self) -> None:
        while self.cancel is not None:
            await self.grown.wait()

    def tell(self) -> None:
        """Wake those who follow."""
        grown, self.grown = self.grown, asyncio.Event()
        grown.set()


class ResponseStore:
    """Used on one event loop."""

    def __init__(self, max_bytes: int = MAX_BYTES, lifetime_seconds: float = LIFETIME_SECONDS) -> None:
        self._max_bytes = max_bytes
        self._lifetime = lifetime_seconds
        self._by_id: dict[str, StoredResponse] = {}
        self.num_bytes = 0
        self.tasks: set[asyncio.Task[None]] = set()
        """Of those that run in the background; the loop itself keeps no hold of them."""

    def get(self, response_id: str) -> StoredResponse:
        """Raises ApiError 404."""
        self._drop_old()
        found = self._by_id.get(response_id)
        if found is None:
            raise ApiError(
                404,
                f"There is no response {response_id[:100]!r}: it was not stored, has been deleted, or had to go after "
                f"{self._lifetime:.0f} seconds or for newer ones.",
                "response_id",
            )
        return found

    def add(self, stored: StoredResponse) -> None:
        """Raises ApiError 503 for one that is to run in the background when there is no room."""
        self._drop_old()
        running = sum(each.cancel is not None for each in self._by_id.values())
        if stored.cancel is not None and running >= MAX_RUNNING:
            raise unavailable(f"{running} responses run in the background; wait for one of them to end.")
        self._by_id[stored.response.id] = stored
        self.count(stored, len(msgspec.json.encode((stored.response, stored.input))))
        if stored.cancel is not None and stored.response.id not in self._by_id:
            raise unavailable(f"The responses that run in the background fill all {self._max_bytes} bytes.")

    def count(self, stored: StoredResponse, more_bytes: int) -> None:
        """A response grew by so much: the oldest ended ones make room, and where there are none it goes itself."""
        stored.num_bytes += more_bytes
        self.num_bytes += more_bytes
        if self.num_bytes <= self._max_bytes:
            return
        ended = [each for each in self._by_id.values() if each.cancel is None and each is not stored]
        for each in [*ended, stored]:
            if self.num_bytes > self._max_bytes:
                self.delete(each)

    def delete(self, stored: StoredResponse) -> None:
        """One that runs is cancelled."""
        if self._by_id.pop(stored.response.id, None) is None:
            return
        self.num_bytes -= stored.num_bytes
        if stored.cancel is not None:
            stored.cancel()

    def _drop_old(self) -> None:
        limit = time.monotonic() - self._lifetime
        for stored in list(self._by_id.values()):  # the oldest first
            if stored.made_at > limit:
                return
            if stored.cancel is None:
                self.delete(stored)
