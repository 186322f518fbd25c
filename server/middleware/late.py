"""What a server that is about to end answers over connections that came after the order to."""

from starlette.types import ASGIApp, Receive, Scope, Send

from paddock.server.engine_link import RETRY_AFTER_SECONDS
from paddock.server.errors import unavailable

ANSWERED_TO_THE_END = frozenset(("/ping", "/version", "/metrics"))
"""Whoever watches the process goes on to do so."""


class RefuseLate:
    """New work is refused, and so is /health: nobody should come any more."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in ANSWERED_TO_THE_END:
            await self._app(scope, receive, send)
            return
        refusal = unavailable("The server is shutting down; send the request again.", RETRY_AFTER_SECONDS)
        await refusal.response(scope)(scope, receive, send)
