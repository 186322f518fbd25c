"""uvicorn's HTTP/1.1 protocol with bounds on what a client may send and how long it may take."""

import asyncio
import enum
import logging
from asyncio import TimerHandle
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import uuid4

from starlette.types import ASGIApp
from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from paddock.engine.config import FrontendConfig
from paddock.server.direct_body import SCOPE_KEY, DirectBody
from paddock.server.errors import ApiError
from paddock.server.middleware.late import RefuseLate
from paddock.server.turnstile import Turnstile

logger = logging.getLogger("uvicorn.error")
LINGER_SECONDS = 2.0
"""How long a refused client may still send before the connection is cut: cut at once, it would not see the answer."""


@dataclass(frozen=True, slots=True)
class Limits:
    max_headers: int = 256
    """Header fields of one request, trailers included (--h11-max-header-count)."""

    max_event_bytes: int = 4 * 2**20
    """Bytes of a head, or of another part that means nothing until it is whole (--h11-max-incomplete-event-size)."""

    receive_seconds: float = 60.0
    """For a whole head from its first byte, or the connection, on; and for each next piece of a body."""

    write_seconds: float = 120.0
    """For a client to take anything of an answer while 64 KiB lie ready for it."""

    @staticmethod
    def of(frontend: FrontendConfig) -> "Limits":
        return Limits(frontend.h11_max_header_count, frontend.h11_max_incomplete_event_size)


class HttpConfig(Config):
    """uvicorn's settings and ours."""

    def __init__(self, app: ASGIApp, limits: Limits, **settings: Any) -> None:
        super().__init__(app, http=HttpProtocol, **settings)
        self.limits = limits
        self.turnstile = Turnstile()
        self.is_leaving = False
        """Whether the order to end has come: what connects now is late."""


class _Phase(enum.Enum):
    BETWEEN = 0
    HEAD = 1
    BODY = 2


class HttpProtocol(HttpToolsProtocol):
    """One connection. What breaks a bound, or is no HTTP, is answered with the error object and disconnected."""

    def __init__(
        self,
        config: HttpConfig,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._settings = config
        self._limits = config.limits
        self._is_late = False
        self._answered_at = 0.0
        self._phase = _Phase.BETWEEN
        self._pending_bytes = 0
        self._refusal: ApiError | None = None
        self._is_refused = False
        self._waiting_since = 0.0
        self._receive_timer: TimerHandle | None = None
        self._write_timer: TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._settings.turnstile.tell_of_news()
        self._is_late = self._settings.is_leaving
        if self._is_late:
            self.app = RefuseLate(self.app)
        self._waiting_since = self._answered_at = self.loop.time()
        self._arm(self._limits.receive_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._receive_timer, self._write_timer):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)
        # After a reset uvicorn leaves its timer running, which would hold all of the connection for a minute.
        self._unset_keepalive_if_required()

    def data_received(self, data: bytes) -> None:
        if self._is_refused:
            return
        self._settings.turnstile.tell_of_news()
        self._pending_bytes += len(data)
        super().data_received(data)
        if self._is_refused:
            return
        if self._pending_bytes > self._limits.max_event_bytes:
            self._refuse(self._too_large())
        elif self._receive_timer is None:
            if self._is_owed_more():
                self._waiting_since = self.loop.time()
                self._arm(self._limits.receive_seconds)
        elif self._phase is _Phase.BODY:
            self._waiting_since = self.loop.time()

    # The parser calls these while it is fed.

    def on_message_begin(self) -> None:
        self._phase = _Phase.HEAD
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        if len(self.headers) >= self._limits.max_headers:
            self._refusal = ApiError(
                431, f"The request has more than {self._limits.max_headers} header fields."
            )
            raise self._refusal
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if (
            self._pending_bytes > self._limits.max_event_bytes
            and self._head_bytes() > self._limits.max_event_bytes
        ):
            self._refusal = self._too_large()
            raise self._refusal
        self._pending_bytes = 0
        self._phase = _Phase.BODY
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._pending_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._pending_bytes = 0
        self._phase = _Phase.BETWEEN
        self._disarm()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        self._answered_at = self.loop.time()
        super().on_response_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGIApp) -> None:  # type: ignore[override]
        """What may bring the model work begins in its turn, all else at once."""
        begin = partial(super()._start_asgi_task, cycle, app)  # type: ignore[arg-type]
        if cycle.scope["method"] == "POST":
            cycle.scope[SCOPE_KEY] = DirectBody(cycle)  # type: ignore[literal-required]
            self._settings.turnstile.enter(begin)
        else:
            begin()

    def may_bring_work(self, seconds: float) -> bool:
        """Whether a request is on its way to be answered, or the last answer is not older than `seconds`."""
        if self._is_late or self.transport.is_closing():
            return False
        answered = self.cycle is None or self.cycle.response_complete
        if answered and self._phase is _Phase.BETWEEN:
            return self.loop.time() - self._answered_at < seconds
        return self._phase is not _Phase.BETWEEN or not self.cycle.response_started

    def send_400_response(self, msg: str) -> None:
        """Called for whatever the parser refuses."""
        self._refuse(self._refusal or ApiError(400, "The request is not valid HTTP/1.1."))

    def pause_writing(self) -> None:
        super().pause_writing()
        self._write_timer = self.loop.call_later(self._limits.write_seconds, self._cut)

    def resume_writing(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None
        super().resume_writing()

    def _is_owed_more(self) -> bool:
        """Whether the client has begun something; empty lines between requests are a beginning, too."""
        return self._phase is not _Phase.BETWEEN or self.cycle is None or self.cycle.response_complete

    def _head_bytes(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def _too_large(self) -> ApiError:
        part = "body has a part" if self._phase is _Phase.BODY else "head is"
        return ApiError(431, f"The request's {part} larger than {self._limits.max_event_bytes} bytes.")

    def _arm(self, seconds: float) -> None:
        self._receive_timer = self.loop.call_later(seconds, self._on_receive_timer)

    def _disarm(self) -> None:
        if self._receive_timer is not None:
            self._receive_timer.cancel()
            self._receive_timer = None

    def _on_receive_timer(self) -> None:
        self._receive_timer = None
        left = self._waiting_since + self._limits.receive_seconds - self.loop.time()
        if self.flow.read_paused:  # it is we who are slow
            left = self._limits.receive_seconds
        if left > 0:
            self._arm(left)
        elif self._phase is _Phase.BETWEEN:
            self.transport.close()
        else:
            seconds = self._limits.receive_seconds
            self._refuse(ApiError(408, f"The rest of the request did not come within {seconds:.0f} seconds."))

    def _refuse(self, error: ApiError) -> None:
        """Answer, then take nothing more from this client."""
        self._is_refused = True
        self._disarm()
        if self._answer_is_under_way():
            self.transport.close()
            return
        self.transport.write(_answer(error))
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.loop.call_later(LINGER_SECONDS, self.transport.close)

    def _answer_is_under_way(self) -> bool:
        """Whether bytes of an answer may precede ours; the application learns that its client is lost."""
        cycle = self.cycle
        if cycle is None or cycle.response_complete:
            return False
        cycle.disconnected = True
        cycle.message_event.set()
        return cycle.response_started or bool(self.pipeline)

    def _cut(self) -> None:
        logger.info(
            "a client took nothing of its answer for %.0f s: disconnected", self._limits.write_seconds
        )
        self.transport.abort()


def _answer(error: ApiError) -> bytes:
    body = error.envelope()
    return b"".join(
        (
            STATUS_LINE[error.status],
            b"content-type: application/json\r\n",
            b"content-length: %d\r\n" % len(body),
            b"x-request-id: %s\r\n" % uuid4().hex.encode(),
            b"connection: close\r\n\r\n",
            body,
        )
    )
