"""No request may fill the memory: bodies beyond the limit are answered 413."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from paddock.server.errors import ApiError

MAX_BODY_BYTES = 32 * 2**20
"""A million-token prompt as JSON has a quarter of this."""


class BodyLimit:
    def __init__(self, app: ASGIApp, max_bytes: int = MAX_BODY_BYTES) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if _announced_bytes(scope["headers"]) > self._max_bytes:
            await self._too_large().response(scope)(scope, receive, send)
            return
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._max_bytes:  # a chunked body announces no length
                raise self._too_large()
            return message

        await self._app(scope, counted, send)

    def _too_large(self) -> ApiError:
        # The rest of the body is read and dropped: closing at once would reset the connection under the answer.
        return ApiError(413, f"The request body is larger than {self._max_bytes} bytes.")


def _announced_bytes(headers: list[tuple[bytes, bytes]]) -> int:
    for name, value in headers:
        if name == b"content-length":
            return int(value) if value.isdigit() else 0
    return 0
