"""uvicorn on a bound socket, without its own idea of signals."""

import contextlib
import logging
import socket
import ssl
from collections.abc import Iterator
from typing import Literal

import uvicorn
from starlette.types import ASGIApp

from paddock.server.http_protocol import HttpConfig, HttpProtocol, Limits
from paddock.server.routes.health import OPEN_PATHS

LogLevel = Literal["critical", "debug", "error", "info", "trace", "warning"]
KEEP_ALIVE_SECONDS = 65
"""Longer than clients and proxies keep idle connections, so that they close first and no request meets a closed one."""
ACCEPTED_PER_TURN = 8
"""libuv takes one connection of a listening socket at each turn of the loop, and turns are long under load."""

LAST_ANSWER = (b"connection", b"close")
LEAVE_SECONDS = 1.0
"""A client that has had its answer and is not back after this sees its connection end before it asks again."""
CLOSE_SECONDS = 10
"""How long the last bytes of finished answers may take to reach slow readers."""


class HttpServer(uvicorn.Server):
    """Serves one application on a bound socket. Signals belong to the process, which drains before it stops this."""

    def __init__(
        self,
        app: ASGIApp,
        log_level: LogLevel,
        limits: Limits = Limits(),
        tls: ssl.SSLContext | None = None,
        access_log: bool = True,
    ) -> None:
        config = HttpConfig(
            app,
            limits=limits,
            ws="none",
            lifespan="off",
            log_config=None,
            log_level=log_level,
            access_log=access_log,
            server_header=False,
            workers=1,  # and not what WEB_CONCURRENCY says
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=CLOSE_SECONDS,
        )
        logging.getLogger("uvicorn.access").addFilter(is_worth_a_line)
        config.load()
        config.ssl = tls
        self._settings = config
        super().__init__(config)

    async def serve_on(self, listener: socket.socket) -> None:
        """Until the end; then the socket is closed."""
        more = [listener.dup() for _ in range(ACCEPTED_PER_TURN - 1)]
        await self.serve(sockets=[listener, *more])

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def take_leave(self) -> None:
        """Connections that are open may bring one more request each, and their answers say that it was the last, so
        that clients who keep a connection ask elsewhere next. Those that come from now on bring no work.
        """
        self._settings.is_leaving = True
        self._settings.encoded_headers.append(LAST_ANSWER)
        self.server_state.default_headers = [*self.server_state.default_headers, LAST_ANSWER]

    def is_awaiting(self) -> bool:
        """Whether an old connection has just asked, or had its answer so lately that it may ask again."""
        connections = (each for each in self.server_state.connections if isinstance(each, HttpProtocol))
        return any(connection.may_bring_work(LEAVE_SECONDS) for connection in connections)


def is_worth_a_line(record: logging.LogRecord) -> bool:
    """Probes and scrapes that succeed would drown the requests in the access log; those that fail are shown."""
    if not isinstance(record.args, tuple) or len(record.args) != 5:
        return True
    _, _, target, _, status = record.args
    return status != 200 or str(target).partition("?")[0] not in OPEN_PATHS
