"""The HTTP server alone, around any ASGI application, on a port and in a thread of its own."""

import asyncio
import json
import socket
import threading
from types import TracebackType
from typing import Any, Self

from starlette.types import ASGIApp, Receive, Scope, Send

from paddock.server.http_protocol import Limits
from paddock.server.http_server import HttpServer
from paddock.server.listener import bind
from paddock.server.process import new_loop
from paddock.server.tls import Tls


async def length_of_body(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers each request with the number of bytes that its body had."""
    length, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        length += len(message.get("body", b""))
        more = message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"8")]})
    await send({"type": "http.response.body", "body": b"%8d" % length})


class HttpThread:
    """Use as a context manager."""

    def __init__(
        self, app: ASGIApp = length_of_body, limits: Limits = Limits(), tls: Tls | None = None
    ) -> None:
        self._app = app
        self._limits = limits
        self._tls = tls
        self._listener = bind("127.0.0.1", 0)
        self.port: int = self._listener.getsockname()[1]
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(self._main())

    async def _main(self) -> None:
        context = None if self._tls is None else self._tls.context
        self._http = HttpServer(self._app, "warning", self._limits, tls=context)
        self._listener.listen()
        asyncio.get_running_loop().call_soon(self._started.set)
        refreshing = None if self._tls is None else asyncio.create_task(self._tls.refresh())
        await self._http.serve_on(self._listener)
        if refreshing is not None:
            refreshing.cancel()

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._started.wait(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.should_exit = True
        self._thread.join(20)
        assert not self._thread.is_alive()

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def ask(self, *pieces: bytes) -> bytes:
        """Send these bytes; all that comes until the server closes, or falls silent after a whole answer."""
        with self.connect() as caller:
            for piece in pieces:
                caller.sendall(piece)
            return all_from(caller)


def all_from(caller: socket.socket) -> bytes:
    """What comes until the other side closes."""
    text = b""
    while piece := caller.recv(65536):
        text += piece
    return text


def error_in(answer: bytes) -> tuple[int, dict[str, Any]]:
    """Status and error object of an answer that closes its connection."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"connection: close" in head
    assert b"content-type: application/json" in head
    error: dict[str, Any] = json.loads(body)["error"]
    status = int(head.split(b" ")[1])
    assert error["code"] == status
    return status, error
