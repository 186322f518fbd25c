"""Pieces of a stream that pass the layers by: the client sees what it would see of the layers' own."""

import json
import socket
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from starlette.types import Message

from paddock.server.direct_body import DirectBody
from paddock.server.generation.completion_format import CompletionFormat
from paddock.server.http_protocol import HttpProtocol

Eventually = Callable[..., None]
TEXT = "/v1/completions"
SMALL = 4096
ASKED = {"prompt": "a b c", "max_tokens": 100, "stream": True, "n": 4}


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The pieces that went past the layers."""
    pieces: list[bytes] = []
    write = DirectBody.write

    def noted(body: DirectBody, piece: bytes) -> None:
        pieces.append(piece)
        write(body, piece)

    monkeypatch.setattr(DirectBody, "write", noted)
    return pieces


def events_of(text: str) -> list[Any]:
    """Those before the last one."""
    *events, done, rest = text.split("\n\n")
    assert (done, rest) == ("data: [DONE]", "")
    return [json.loads(event.removeprefix("data: ")) for event in events]


def texts_of(events: list[Any]) -> list[str]:
    texts = [""] * ASKED["n"]
    for event in events:
        for choice in event["choices"]:
            texts[choice["index"]] += choice["text"]
    return texts


def whole_texts(url: str) -> list[str]:
    answer = httpx.post(url + TEXT, json={**ASKED, "stream": False}).json()
    return [choice["text"] for choice in answer["choices"]]


def test_most_of_a_stream_passes_the_layers_by_and_reads_as_the_whole_answer(
    server: Any, written: list[bytes]
) -> None:
    response = httpx.post(server.url + TEXT, json=ASKED)

    assert texts_of(events_of(response.text)) == whole_texts(server.url)
    assert len(written) > ASKED["n"] * ASKED["max_tokens"] / 2


def test_what_a_slow_client_does_not_take_yet_waits_for_it(
    server: Any, engine: Any, monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    made, pause = HttpProtocol.connection_made, HttpProtocol.pause_writing
    paused: list[bool] = []

    def with_small_buffers(protocol: HttpProtocol, transport: Any) -> None:
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL)
        transport.set_write_buffer_limits(high=SMALL)
        made(protocol, transport)

    monkeypatch.setattr(HttpProtocol, "connection_made", with_small_buffers)
    monkeypatch.setattr(HttpProtocol, "pause_writing", lambda self: (paused.append(True), pause(self)))
    transport = httpx.HTTPTransport(socket_options=[(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)])
    asked = {**ASKED, "return_token_ids": True}
    with (
        httpx.Client(transport=transport) as client,
        client.stream("POST", server.url + TEXT, json=asked) as answer,
    ):
        eventually(lambda: engine.seen and not engine.running and paused)
        answer.read()

    assert texts_of(events_of(answer.text)) == whole_texts(server.url)


def test_a_fault_of_a_piece_ends_its_stream_alone_with_an_error_event(
    server: Any,
    engine: Any,
    written: list[bytes],
    monkeypatch: pytest.MonkeyPatch,
    eventually: Eventually,
) -> None:
    events = CompletionFormat.events

    def faulty(reply: CompletionFormat, index: int, piece: Any, usage: Any) -> bytes:
        if written and index == 2:
            raise RuntimeError("secret internals")
        return events(reply, index, piece, usage)

    monkeypatch.setattr(CompletionFormat, "events", faulty)
    text = httpx.post(server.url + TEXT, json=ASKED).text

    assert events_of(text)[-1]["error"]["code"] == 500
    assert "secret" not in text
    eventually(lambda: not engine.running and server.client.num_sequences == 0)
    assert httpx.post(server.url + TEXT, json={**ASKED, "n": 1}).text.endswith("data: [DONE]\n\n")


def test_a_layer_of_the_users_sees_every_piece(
    start_server: Callable[..., Any], written: list[bytes]
) -> None:
    server = start_server(middleware=(f"{__name__}.Louder",))

    answer = httpx.post(server.url + TEXT, json=ASKED)

    assert not written
    assert answer.text == answer.text.upper()
    assert answer.text.count("DATA: ") > ASKED["max_tokens"]


class Louder:
    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def louder(message: Message) -> None:
            if message["type"] == "http.response.body":
                message["body"] = message["body"].upper()
            await send(message)

        await self._app(scope, receive, louder)
