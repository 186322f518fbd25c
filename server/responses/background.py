"""A response that runs without a client: its stream goes into the store."""

import asyncio
import logging

from starlette.types import ASGIApp, Message, Scope

from paddock.server.direct_body import withhold_direct_body
from paddock.server.errors import ApiError
from paddock.server.responses.format import ResponseFormat
from paddock.server.responses.store import ResponseStore, StoredResponse
from paddock.server.tracing.record import trace_of

logger = logging.getLogger("paddock.server")


def run_in_background(
    answer: ASGIApp, scope: Scope, reply: ResponseFormat, stored: StoredResponse, store: ResponseStore
) -> None:
    """`answer` streams `reply`. Raises ApiError 503 when no more may run."""
    withhold_direct_body(scope)  # there may be no client any more
    run = _Run(answer, scope, reply, stored, store)
    stored.cancel = run.gone.set
    store.add(stored)
    task = asyncio.create_task(run.run())
    store.tasks.add(task)
    task.add_done_callback(store.tasks.discard)
    trace = trace_of(scope)
    if trace is not None:  # the answer to the order to begin is not its end
        trace.hold()
        task.add_done_callback(lambda _: trace.release())


class _Run:
    def __init__(
        self,
        answer: ASGIApp,
        scope: Scope,
        reply: ResponseFormat,
        stored: StoredResponse,
        store: ResponseStore,
    ) -> None:
        self._answer = answer
        self._scope = scope
        self._reply = reply
        self._stored = stored
        self._store = store
        self.gone = asyncio.Event()

    async def run(self) -> None:
        try:
            await self._answer(self._scope, self._receive, self._send)
        except ApiError as error:  # before the first token
            self._add(self._reply.opening() + self._reply.failed(error))
        except Exception:
            logger.exception("a response in the background failed")
            self._add(
                self._reply.failed(ApiError(500, "The server failed on this response; its log says why."))
            )
        finally:
            self._stored.cancel = None
            self._stored.tell()

    async def _receive(self) -> Message:
        """The client of this answer leaves when the response is cancelled."""
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        self._add(message.get("body", b""))

    def _add(self, body: bytes) -> None:
        events = [event + b"\n\n" for event in body.split(b"\n\n") if event.startswith(b"event: ")]
        self._store.count(
            self._stored, sum(map(len, events))
        )  # the text itself, and its events where they are kept
        if self._stored.events is not None:
            self._stored.events += events
            self._stored.tell()
