"""--middleware: layers of the user's own."""

import sys
import types
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from paddock.server.middleware.imported import MiddlewareError, load, wrap

Next = Callable[[Request], Awaitable[Response]]


async def stamp(request: Request, call_next: Next) -> Response:
    response = await call_next(request)
    response.headers["x-order"] = response.headers.get("x-order", "") + "function "
    return response


async def bouncer(request: Request, call_next: Next) -> Response:
    if request.headers.get("x-banned"):
        return PlainTextResponse("no", 403)
    return await call_next(request)


async def clumsy(request: Request, call_next: Next) -> Response:
    raise RuntimeError("a fault in the user's layer")


class Header:
    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def stamped(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"x-order", b"class ")]
            await send(message)

        await self._app(scope, receive, stamped)


class Unmakable:
    def __init__(self, app: ASGIApp) -> None:
        raise KeyError("DATABASE")


@pytest.fixture(autouse=True)
def users_module() -> Iterator[None]:
    module = types.ModuleType("users_layers")
    for layer in (stamp, bouncer, clumsy, Header, Unmakable):
        setattr(module, layer.__name__, layer)
    module.number = 7  # type: ignore[attr-defined]
    sys.modules["users_layers"] = module
    yield
    del sys.modules["users_layers"]


@pytest.fixture
def url(start_server: Callable[..., Any]) -> Callable[..., str]:
    return lambda *names, **settings: (
        start_server(middleware=tuple(f"users_layers.{name}" for name in names), **settings).url
    )


def test_functions_and_classes_wrap_the_app_the_last_one_outermost(url: Callable[..., str]) -> None:
    response = httpx.get(url("Header", "stamp") + "/version")
    assert response.headers["x-order"] == "class function"


def test_a_layer_may_answer_itself_also_before_the_key_is_asked_for(url: Callable[..., str]) -> None:
    server = url("bouncer", api_key=("k",))
    assert httpx.get(server + "/v1/models", headers={"x-banned": "1"}).text == "no"
    assert httpx.get(server + "/v1/models").status_code == 401


def test_streams_pass_through(url: Callable[..., str]) -> None:
    body = {"prompt": "a b", "max_tokens": 5, "stream": True}
    response = httpx.post(url("stamp", "Header") + "/v1/completions", json=body)
    assert response.text.endswith("data: [DONE]\n\n")


def test_a_fault_of_a_layer_is_a_500_with_the_error_object(url: Callable[..., str]) -> None:
    response = httpx.get(url("clumsy") + "/version")
    assert response.status_code == 500
    assert response.json()["error"]["type"] == "InternalServerError"
    assert response.headers["x-request-id"]


@pytest.mark.parametrize(
    ("path", "fault"),
    [
        ("nodots", "dotted path"),
        ("no_such_module.Layer", "No module named"),
        ("users_layers.missing", "users_layers has no missing"),
        ("users_layers.number", "is a int"),
        ("json.dumps", "is a function"),
    ],
)
def test_what_cannot_be_a_layer_is_named(path: str, fault: str) -> None:
    with pytest.raises(MiddlewareError, match=rf"--middleware {path}.*{fault}"):
        load([path])


def test_a_class_that_cannot_be_made_is_named() -> None:
    with pytest.raises(MiddlewareError, match=r"--middleware users_layers.Unmakable failed .*DATABASE"):
        wrap(PlainTextResponse("x"), ["users_layers.Unmakable"])
