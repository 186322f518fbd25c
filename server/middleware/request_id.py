"""Every response carries x-request-id: the caller's own when it is sane, else a new one."""

from typing import Any
from uuid import uuid4

from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_CHARACTERS = 128
SCOPE_KEY = "paddock.request_id"


class RequestId:
    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _callers_id(scope["headers"]) or uuid4().hex.encode()
        scope[SCOPE_KEY] = request_id.decode("ascii")

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", request_id)]
            await send(message)

        await self._app(scope, receive, send_with_id)


def request_id_of(scope: Scope) -> str:
    found: Any = scope.get(SCOPE_KEY, "")
    return str(found)


def _callers_id(headers: list[tuple[bytes, bytes]]) -> bytes | None:
    for name, value in headers:
        if name == b"x-request-id":
            sane = 0 < len(value) <= MAX_CHARACTERS and all(0x20 < byte < 0x7F for byte in value)
            return value if sane else None
    return None
