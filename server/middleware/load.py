"""How many requests are being answered now."""

from starlette.types import ASGIApp, Receive, Scope, Send


class LoadTracking:
    """Counts requests that bring work (POST), from their arrival to the last byte of their answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        self.in_flight += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self.in_flight -= 1
