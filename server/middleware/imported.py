"""--middleware: the user's own layers around the application."""

import importlib
import inspect
from collections.abc import Callable, Iterable
from typing import Any, cast

from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from paddock.server.direct_body import withhold_direct_body
from paddock.server.errors import answer_unexpected

Layer = Callable[[ASGIApp], ASGIApp]


class MiddlewareError(Exception):
    """A layer cannot be had; the text names its path."""


def wrap(app: ASGIApp, paths: Iterable[str]) -> ASGIApp:
    """Put the layers around the application, the last one outermost. Their own faults are answered 500, as ours are.

    Raises MiddlewareError.
    """
    layers = load(paths)
    if not layers:
        return app
    app = _piece_by_piece(app)
    for path, layer in layers:
        try:
            app = layer(app)
        except Exception as error:
            raise MiddlewareError(f"--middleware {path} failed on start: {_text(error)}.") from error
    return ServerErrorMiddleware(app, handler=answer_unexpected)


def _piece_by_piece(app: ASGIApp) -> ASGIApp:
    """The layers may change each piece of an answer, so that none passes them by."""

    async def inner(scope: Scope, receive: Receive, send: Send) -> None:
        withhold_direct_body(scope)
        await app(scope, receive, send)

    return inner


def load(paths: Iterable[str]) -> list[tuple[str, Layer]]:
    """Import each `package.module.name`: a class is an ASGI layer, an async function an http one.

    Raises MiddlewareError.
    """
    return [(path, _layer(path, _imported(path))) for path in paths]


def _imported(path: str) -> Any:
    module, _, name = path.rpartition(".")
    if not module:
        raise MiddlewareError(f"--middleware {path} must be a dotted path such as package.module.name.")
    try:
        return getattr(importlib.import_module(module), name)
    except AttributeError:
        raise MiddlewareError(f"--middleware {path}: {module} has no {name}.") from None
    except Exception as error:  # a module may raise anything while it is imported
        raise MiddlewareError(f"--middleware {path} cannot be imported: {_text(error)}.") from error


def _layer(path: str, found: Any) -> Layer:
    if inspect.isclass(found):
        return cast(Layer, found)
    if inspect.iscoroutinefunction(found):
        return lambda app: BaseHTTPMiddleware(app, dispatch=found)
    raise MiddlewareError(
        f"--middleware {path} is a {type(found).__name__}; it must be a class (ASGI: made with the application) or "
        "an async function (http: called with the request and the next layer)."
    )


def _text(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
