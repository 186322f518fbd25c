"""The id of a request: the caller's own when it is sane, else a new one. Logs use it, and X-Request-Id shows it."""

from collections.abc import Awaitable
from typing import Any
from uuid import uuid4

from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_CHARACTERS = 128
SCOPE_KEY = "paddock.request_id"


class RequestId:
    """`always` puts the header on every response; otherwise errors and callers who sent one get it."""

    def __init__(self, app: ASGIApp, always: bool) -> None:
        self._app = app
        self._always = always

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = _callers_id(scope["headers"])
        shown = self._always or given is not None
        scope[SCOPE_KEY] = uuid4().hex if given is None else given

        # No coroutine of its own: it would cost every token of every stream.
        def send_with_id(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start" and (shown or message["status"] >= 400):
                header = (b"x-request-id", request_id_of(scope).encode())
                message["headers"] = [*message.get("headers", ()), header]
            return send(message)

        await self._app(scope, receive, send_with_id)


def request_id_of(scope: Scope) -> str:
    found: Any = scope.get(SCOPE_KEY, "")
    return str(found)


def rename_request(scope: Scope, request_id: str) -> None:
    """Take the id that stands in the body; it must be sane."""
    scope[SCOPE_KEY] = request_id


def is_sane(request_id: str) -> bool:
    """Visible ASCII of a bounded length: safe in a header and in a log."""
    return 0 < len(request_id) <= MAX_CHARACTERS and all("!" <= character <= "~" for character in request_id)


def _callers_id(headers: list[tuple[bytes, bytes]]) -> str | None:
    for name, value in headers:
        if name == b"x-request-id":
            text = value.decode("latin-1")
            return text if is_sane(text) else None
    return None
