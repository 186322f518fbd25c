"""Keys on every route but the open ones: as a bearer token, or in x-api-key as Anthropic's client sends it."""

import hmac
from collections.abc import Iterable

from starlette.types import ASGIApp, Receive, Scope, Send

from paddock.server.errors import ApiError
from paddock.server.routes.health import OPEN_PATHS


class ApiKeys:
    """Compares with all keys in constant time, so that the time of an answer tells nothing about them."""

    def __init__(self, app: ASGIApp, keys: Iterable[str]) -> None:
        self._app = app
        self._keys = [key.encode() for key in keys]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or self._may_pass(scope):
            await self._app(scope, receive, send)
            return
        message = (
            "A valid API key is needed: send the header Authorization: Bearer <key>, or x-api-key: <key>."
        )
        error = ApiError(401, message, headers={"www-authenticate": "Bearer"})
        await error.response(scope)(scope, receive, send)

    def _may_pass(self, scope: Scope) -> bool:
        # The router looks at the path below root_path; the open list must mean the same routes.
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        return scope["method"] == "OPTIONS" or path in OPEN_PATHS or self._known(_given(scope["headers"]))

    def _known(self, given: list[bytes]) -> bool:
        matches = [hmac.compare_digest(each, key) for each in given for key in self._keys]
        return any(matches)


def _given(headers: list[tuple[bytes, bytes]]) -> list[bytes]:
    """The first key of either header."""
    found: dict[bytes, bytes] = {}
    for name, value in headers:
        if name == b"authorization":
            scheme, _, key = value.partition(b" ")
            found.setdefault(name, key.strip() if scheme.lower() == b"bearer" else b"")
        elif name == b"x-api-key":
            found.setdefault(name, value)
    return list(found.values())
