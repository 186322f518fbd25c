"""Counts and times HTTP requests by handler, under the names of the usual FastAPI instrumentation."""

import time
from collections.abc import Awaitable, Sequence

from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from paddock.server.metric_series import Series

UNCOUNTED = frozenset(("/health", "/load", "/metrics", "/ping", "/server_info", "/version"))
"""Probes and scrapes: they would drown what users send."""

UNKNOWN = "none"
"""The handler of paths that no route has; paths themselves are the caller's and would make series without end."""

MOST_DIGITS = 15
METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))


class HttpMetrics:
    """Stands around all that may answer, so that what the other layers refuse is counted, too."""

    def __init__(self, app: ASGIApp, series: Series, routes: Sequence[BaseRoute]) -> None:
        self._app = app
        self._routes = routes
        self._requests = series.counter("http_requests_total")
        self._seconds = series.histogram("http_request_duration_seconds")
        self._fine_seconds = series.histogram("http_request_duration_highr_seconds")
        self._request_bytes = series.summary("http_request_size_bytes")
        self._response_bytes = series.summary("http_response_size_bytes")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        handler = self._handler(scope) if scope["type"] == "http" else None
        if handler is None or handler in UNCOUNTED:
            await self._app(scope, receive, send)
            return
        method = scope["method"] if scope["method"] in METHODS else "other"
        began = time.perf_counter()
        status, declared = 500, 0  # of a request that ends without an answer

        # No coroutine of its own: it would cost every token of every stream.
        def watch(message: Message) -> Awaitable[None]:
            nonlocal status, declared
            if message["type"] == "http.response.start":
                status, declared = message["status"], _length(message.get("headers", ()))
            return send(message)

        try:
            await self._app(scope, receive, watch)
        finally:
            seconds = time.perf_counter() - began
            self._requests.labels(handler, method, f"{status // 100}xx").inc()
            self._seconds.labels(handler, method).observe(seconds)
            self._fine_seconds.observe(seconds)
            self._request_bytes.labels(handler).observe(_length(scope["headers"]))
            self._response_bytes.labels(handler).observe(declared)

    def _handler(self, scope: Scope) -> str:
        """The route's template, so that ids in paths make no series."""
        for route in self._routes:
            if route.matches(scope)[0] is not Match.NONE:
                return str(getattr(route, "path", UNKNOWN))
        return UNKNOWN


def _length(headers: Sequence[tuple[bytes, bytes]]) -> int:
    for name, value in headers:
        if name == b"content-length" and value.isdigit() and len(value) <= MOST_DIGITS:
            return int(value)
    return 0
