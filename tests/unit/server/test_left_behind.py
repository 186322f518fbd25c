"""What a request leaves to the garbage collector, whose pauses every stream would feel: nothing."""

import asyncio
import gc
import socket
import struct
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from paddock.server.direct_body import DirectBody
from paddock.server.generation.stream import Generation, Sequence
from paddock.server.http_protocol import HttpProtocol

Eventually = Callable[..., None]
OF_A_REQUEST = (RequestResponseCycle, HttpProtocol, DirectBody, Generation, Sequence, asyncio.Task)


@pytest.fixture
def unreachable() -> Iterator[list[Any]]:
    """Holds, once the collector has run, what it found: nothing of it was freed when its last user let go."""
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    yield gc.garbage
    gc.set_debug(0)
    gc.enable()
    gc.garbage.clear()


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/completions", {"prompt": "a b", "max_tokens": 5, "n": 2, "stream": True}),
        ("/v1/completions", {"prompt": "a b", "max_tokens": 5, "n": 2}),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "a"}], "stream": True}),
        ("/v1/completions", {"prompt": "a b", "max_tokens": -1}),
        ("/health", None),
    ],
    ids=["stream", "whole", "chat", "refused", "probe"],
)
def test_what_a_request_made_is_freed_when_it_ends(
    server: Any, unreachable: list[Any], path: str, body: dict[str, Any] | None
) -> None:
    for _ in range(3):
        httpx.request("GET" if body is None else "POST", server.url + path, json=body)
    check_nothing_is_left(server, unreachable)


def test_what_a_request_made_is_freed_when_its_client_leaves(
    server: Any, engine: Any, unreachable: list[Any], eventually: Eventually
) -> None:
    engine.hold_after = 3
    for _ in range(3):
        body = {"prompt": "a b", "max_tokens": 9, "stream": True}
        with httpx.stream("POST", server.url + "/v1/completions", json=body) as answer:
            next(answer.iter_lines())
    eventually(lambda: not (server.http.server_state.tasks or server.http.server_state.connections))

    check_nothing_is_left(server, unreachable)


def test_a_connection_that_its_client_resets_after_an_answer_is_freed_at_once(
    server: Any, unreachable: list[Any], eventually: Eventually
) -> None:
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b" 200 " in connection.recv(4096)
        [open_one] = map(weakref.ref, server.http.server_state.connections)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    eventually(lambda: open_one() is None)


def check_nothing_is_left(server: Any, unreachable: list[Any]) -> None:
    server.call(gc.collect)
    assert [found for found in unreachable if isinstance(found, OF_A_REQUEST)] == []
