"""What a client may send, how long it may take, and what it hears when it goes beyond."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest
from http_thread import HttpThread, all_from, error_in
from starlette.types import Receive, Scope, Send

from paddock.server.http_protocol import Limits

CLOSE = b"host: a\r\nconnection: close\r\n"
GET = b"GET / HTTP/1.1\r\n"
SMALL = Limits(max_headers=10, max_event_bytes=2_000)
HASTY = Limits(receive_seconds=0.3, write_seconds=0.3)


@pytest.fixture(scope="module")
def small() -> Iterator[HttpThread]:
    with HttpThread(limits=SMALL) as server:
        yield server


@pytest.fixture(scope="module")
def hasty() -> Iterator[HttpThread]:
    with HttpThread(limits=HASTY) as server:
        yield server


def drip(caller: socket.socket, drop: bytes) -> bytes:
    """Send this again and again until something comes back, or the end."""
    while True:
        caller.sendall(drop)
        with contextlib.suppress(TimeoutError):
            return caller.recv(100)


def headers(count: int) -> bytes:
    return b"".join(b"x-%d: 1\r\n" % number for number in range(count))


def test_as_many_headers_as_allowed_pass(small: HttpThread) -> None:
    assert small.ask(GET + CLOSE + headers(8) + b"\r\n").startswith(b"HTTP/1.1 200")


def test_one_header_more_is_a_431_with_the_error_object(small: HttpThread) -> None:
    status, error = error_in(small.ask(GET + CLOSE + headers(9) + b"\r\n"))
    assert status == 431
    assert "more than 10 header fields" in error["message"]


@pytest.mark.parametrize("ending", [b"\r\n\r\n", b""], ids=["whole", "unfinished"])
@pytest.mark.parametrize("pieces", [1, 7])
def test_a_head_beyond_the_bound_is_a_431(small: HttpThread, pieces: int, ending: bytes) -> None:
    head = GET + CLOSE + b"x: " + b"y" * 2_100 + ending
    step = len(head) // pieces + 1
    status, error = error_in(small.ask(*(head[at : at + step] for at in range(0, len(head), step))))
    assert status == 431
    assert "2000 bytes" in error["message"]


def test_a_url_without_end_is_bounded_too(small: HttpThread) -> None:
    assert error_in(small.ask(b"GET /" + b"a" * 3_000))[0] == 431


def test_a_body_may_be_longer_than_the_bound_of_a_head(small: HttpThread) -> None:
    request = b"POST / HTTP/1.1\r\n" + CLOSE + b"content-length: 9000\r\n\r\n" + b"b" * 9_000
    assert small.ask(request).endswith(b"    9000")


def test_trailers_count_as_headers(small: HttpThread) -> None:
    request = b"POST / HTTP/1.1\r\n" + CLOSE + b"transfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n"
    assert error_in(small.ask(request + headers(9) + b"\r\n"))[0] == 431


def test_a_trailer_without_end_is_bounded(small: HttpThread) -> None:
    request = b"POST / HTTP/1.1\r\n" + CLOSE + b"transfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\nx: "
    with small.connect() as caller:
        caller.settimeout(0.05)
        caller.sendall(request)
        assert b"431" in drip(caller, b"y" * 500)


def test_without_settings_four_mebibytes_and_256_headers_are_the_bounds() -> None:
    with HttpThread() as server:
        assert error_in(server.ask(GET + CLOSE + headers(255) + b"\r\n"))[0] == 431
        assert server.ask(GET + CLOSE + headers(254) + b"\r\n").startswith(b"HTTP/1.1 200")
        assert error_in(server.ask(GET + b"x: " + b"y" * (4 * 2**20 + 1)))[0] == 431


@pytest.mark.parametrize(
    "text", [b"hello\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02", b"GET / x\r\n"]
)
def test_what_is_no_http_is_a_400_with_the_error_object(small: HttpThread, text: bytes) -> None:
    status, error = error_in(small.ask(text))
    assert status == 400
    assert error["type"] == "BadRequestError"


def test_pipelined_requests_are_all_answered(small: HttpThread) -> None:
    answers = small.ask(GET + b"host: a\r\n\r\n" + GET + b"host: a\r\n\r\n" + GET + CLOSE + b"\r\n")
    assert answers.count(b"HTTP/1.1 200") == 3


def test_a_head_that_does_not_come_is_a_408(hasty: HttpThread) -> None:
    status, error = error_in(hasty.ask(GET + b"x: y\r\n"))
    assert status == 408
    assert "did not come" in error["message"]


def test_a_head_in_drops_has_no_more_time_than_any_other(hasty: HttpThread) -> None:
    with hasty.connect() as caller:
        caller.settimeout(0.05)
        caller.sendall(GET + b"x: ")
        assert b"408" in drip(caller, b"y")


def test_empty_lines_keep_no_connection_open(hasty: HttpThread) -> None:
    with hasty.connect() as caller:
        caller.settimeout(0.05)
        assert drip(caller, b"\r\n") == b""


def test_a_body_that_does_not_come_is_a_408(hasty: HttpThread) -> None:
    request = b"POST / HTTP/1.1\r\n" + CLOSE + b"content-length: 5\r\n\r\nab"
    assert error_in(hasty.ask(request))[0] == 408


def test_a_connection_without_a_word_is_closed_without_one(hasty: HttpThread) -> None:
    assert hasty.ask() == b""


def test_a_long_answer_is_no_idle_connection() -> None:
    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(3 * HASTY.receive_seconds)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"late"})

    with HttpThread(slow, HASTY) as server:
        assert b"late" in server.ask(GET + CLOSE + b"\r\n")


def test_a_reader_that_takes_nothing_loses_its_answer() -> None:
    lost = threading.Event()

    async def endless(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        gone = asyncio.ensure_future(receive())
        while not gone.done():
            await send({"type": "http.response.body", "body": b"x" * 65_536, "more_body": True})
            await asyncio.sleep(0)
        lost.set()

    with HttpThread(endless, HASTY) as server, server.connect() as caller:
        caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        caller.sendall(GET + b"host: a\r\n\r\n")
        assert lost.wait(20)


def test_nothing_is_put_into_an_answer_that_is_under_way() -> None:
    began = threading.Event()

    async def half(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"9")]})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        began.set()
        while (await receive())["type"] != "http.disconnect":
            pass

    with HttpThread(half) as server, server.connect() as caller:
        caller.sendall(b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n")
        assert began.wait(10)
        caller.sendall(b"no chunk\r\n")
        assert all_from(caller).endswith(b"half")
