"""--otlp-traces-endpoint: a trace for each request that the model works on."""

import time
from collections.abc import Awaitable
from typing import TYPE_CHECKING

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from paddock.server.tracing.record import SCOPE_KEY, RequestTrace

if TYPE_CHECKING:
    from paddock.server.tracing.spans import RequestSpans

OPERATIONS = {
    "/v1/chat/completions": "chat",
    "/v1/responses": "chat",
    "/v1/messages": "chat",
    "/v1/completions": "text_completion",
    "/v1/embeddings": "embeddings",
    "/pooling": "pooling",
    "/classify": "classify",
    "/score": "score",
    "/v1/score": "score",
    "/rerank": "rerank",
    "/v1/rerank": "rerank",
    "/v2/rerank": "rerank",
}
"""By path; chat, text_completion and embeddings are names of the semantic conventions."""


class Tracing:
    """Stands around all that may answer; the root path is known."""

    def __init__(self, app: ASGIApp, spans: "RequestSpans") -> None:
        self._app = app
        self._spans = spans

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        operation = _operation(scope) if scope["type"] == "http" and scope["method"] == "POST" else None
        if operation is None:
            await self._app(scope, receive, send)
            return
        trace = RequestTrace(operation, lambda: self._spans.write(trace, scope, status, time.time()))
        scope[SCOPE_KEY] = trace
        status = 500  # of a request that ends without an answer

        # No coroutine of its own: it would cost every token of every stream.
        def watch(message: Message) -> Awaitable[None]:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            return send(message)

        try:
            await self._app(scope, receive, watch)
        finally:
            trace.release()


def _operation(scope: Scope) -> str | None:
    path: str = scope["path"]
    return OPERATIONS.get(path.removeprefix(scope["root_path"]))
