"""Tell the routes which prefix a proxy serves us under, whether it strips the prefix or not."""

from starlette.types import ASGIApp, Receive, Scope, Send


class RootPath:
    """Sets the scope's root_path; the router then takes paths with and without it."""

    def __init__(self, app: ASGIApp, root_path: str) -> None:
        self._app = app
        self._root_path = root_path.rstrip("/")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["root_path"] = self._root_path
        await self._app(scope, receive, send)
