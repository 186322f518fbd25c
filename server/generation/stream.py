"""The engine's outputs for one HTTP request: n sequences, one reader."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Literal

from paddock.engine.messages import AddRequest, RequestOutput
from paddock.engine.step_seconds import PhaseSeconds
from paddock.server.errors import CLIENT_CLOSED_REQUEST, ApiError

Batch = list[tuple[int, RequestOutput]]
"""Outputs with the index of their sequence in the request."""
PassOn = Callable[[int, RequestOutput], bool]
"""Takes one output; or does not, and says so."""

EndReason = Literal["stop", "abort", "error"]
Abort = Callable[[Iterable[str], EndReason], None]
"""Ends sequences in the engine, and says why for the books."""


class Sequence:
    """One sequence in flight: its place in the request, and what its metrics need."""

    __slots__ = (
        "arrival",
        "ended",
        "first_token",
        "index",
        "last_token",
        "num_prompt",
        "num_tokens",
        "request",
        "scheduled",
        "siblings",
        "spent",
    )

    def __init__(self, request: AddRequest, index: int, siblings: "Siblings") -> None:
        self.request = request
        self.index = index
        self.siblings = siblings
        self.arrival = request.arrival_time
        self.num_prompt = len(request.prompt_token_ids)
        self.num_tokens = 0
        self.scheduled = request.arrival_time
        self.first_token = 0.0
        self.last_token = 0.0
        self.ended: str | None = None
        """Why it ended, once it has."""
        self.spent: PhaseSeconds | None = None
        """By its steps so far, where the engine times them."""


class Siblings:
    """The answers to one prompt."""

    __slots__ = ("_longest", "_num_running")

    def __init__(self) -> None:
        self._num_running = 0
        self._longest = 0

    def join(self) -> "Siblings":
        self._num_running += 1
        return self

    def end_one(self, num_tokens: int) -> int | None:
        """One of them has ended; with the last one, the length of the longest in tokens."""
        self._num_running -= 1
        self._longest = max(self._longest, num_tokens)
        return None if self._num_running else self._longest


class Generation:
    """Collects outputs until its reader asks. The engine client writes, one task reads."""

    def __init__(self, requests: list[AddRequest], abort: Abort) -> None:
        by_prompt: dict[int, Siblings] = {}  # the answers to a prompt hold the same list
        self.sequences = [
            Sequence(request, index, by_prompt.setdefault(id(request.prompt_token_ids), Siblings()).join())
            for index, request in enumerate(requests)
        ]
        self._abort = abort
        self._pending: Batch = []
        self._error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._pass_on: PassOn | None = None

    async def next(self, pass_on: PassOn | None = None) -> Batch:
        """Outputs since the last call, at least one; none at all after a `nudge`. Raises ApiError, which is the end.

        While nothing is pending each output is first offered to `pass_on`. What that takes costs no switch to the reader,
        who hears of what it does not take, and of what it raises.
        """
        if not self._pending and self._error is None:
            self._waiter = asyncio.get_running_loop().create_future()
            self._pass_on = pass_on
            await self._waiter
        if self._pending:  # tokens that came before an error are still the caller's
            batch, self._pending = self._pending, []
            return batch
        if self._error is not None:
            # Neither this object nor this frame may hold it: it holds them, by its traceback.
            error, self._error = self._error, None
            try:
                raise error
            finally:
                del error
        return []

    def put(self, index: int, output: RequestOutput) -> None:
        if self._pass_on is not None:
            try:
                if self._pass_on(index, output):
                    return
            except Exception as error:  # noqa: BLE001 it is raised again, to the reader
                self._break(error)
                return
        self._pending.append((index, output))
        self.nudge()

    def nudge(self) -> None:
        """Wake the reader, with nothing to read if nothing came."""
        self._pass_on = None
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def fail(self, error: ApiError) -> None:
        """End the request with this error; its sequences that still run are aborted."""
        self._break(error)
        self.abort_all("error" if error.status >= 500 and error.status != 503 else "abort")

    def _break(self, error: Exception) -> None:
        if self._error is None:
            self._error = error
        self.nudge()

    def disconnect(self) -> None:
        """The caller is gone: whatever was generated is nobody's."""
        self._pending.clear()
        self.fail(ApiError(CLIENT_CLOSED_REQUEST, "The client closed the connection."))

    def complete(self, index: int) -> None:
        """A stop string completed this answer: end its sequence. Harmless when it has already finished."""
        self._abort([self.sequences[index].request.request_id], "stop")

    def abort_all(self, reason: EndReason = "abort") -> None:
        self._abort([sequence.request.request_id for sequence in self.sequences], reason)
