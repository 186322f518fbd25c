"""Callers who leave, engines that refuse, fail or fall silent, servers that drain."""

import json
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from paddock.server.errors import unavailable

TEXT = "/v1/completions"
Eventually = Callable[..., None]


def open_request(server: Any, **body: Any) -> socket.socket:
    """A request on a plain socket, so that leaving is one close away."""
    payload = json.dumps({"prompt": "a b c", "max_tokens": 200, **body}).encode()
    connection = socket.create_connection(("127.0.0.1", server.port))
    head = f"POST {TEXT} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(payload)}\r\n\r\n"
    connection.sendall(head.encode() + payload)
    return connection


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("n", [1, 3])
def test_a_caller_who_leaves_frees_every_sequence(
    server: Any, engine: Any, eventually: Eventually, stream: bool, n: int
) -> None:
    engine.hold_after = 2
    connection = open_request(server, stream=stream, n=n)
    eventually(lambda: len(engine.running) == n)
    connection.close()
    eventually(lambda: not engine.running)
    assert sorted(engine.aborted) == sorted(request.request_id for request in engine.seen)
    eventually(lambda: server.client.num_sequences == 0)


def test_a_full_queue_is_a_503_that_says_when_to_come_back(http: httpx.Client, engine: Any) -> None:
    engine.refusal = (503, "The waiting queue is full.")
    for stream in (False, True):
        response = http.post(TEXT, json={"prompt": "a", "stream": stream})
        assert response.status_code == 503
        assert response.headers["retry-after"] == "1"
        assert response.json()["error"]["type"] == "ServiceUnavailableError"


def test_one_refused_choice_ends_the_others(http: httpx.Client, engine: Any, eventually: Eventually) -> None:
    engine.refusal = (400, "too large for the cache")
    response = http.post(TEXT, json={"prompt": "a", "n": 3})
    assert response.status_code == 400
    assert "too large" in response.json()["error"]["message"]


def stream(url: str, pieces: list[str]) -> None:
    """Append what comes, as it comes."""
    with httpx.stream("POST", url, json={"prompt": "a b", "stream": True}) as response:
        pieces.extend(response.iter_text())


def test_an_engine_failure_ends_streams_with_an_error_event(
    server: Any, engine: Any, eventually: Eventually
) -> None:
    engine.hold_after = 2
    with ThreadPoolExecutor() as pool:
        pieces: list[str] = []
        streaming = pool.submit(stream, server.url + TEXT, pieces)
        waiting = pool.submit(httpx.post, server.url + TEXT, json={"prompt": "a b"})
        eventually(lambda: len(engine.running) == 2 and pieces)
        server.call(lambda: server.client.fail("out of memory"))
        streaming.result()
        events = "".join(pieces).split("\n\n")
        assert json.loads(events[-3].removeprefix("data: "))["error"]["code"] == 500
        assert events[-2] == "data: [DONE]"
        assert waiting.result().status_code == 500
    for path in ("/health", "/ping"):
        response = httpx.get(server.url + path)
        assert response.status_code == 503
        assert "out of memory" in response.json()["error"]["message"]
    assert httpx.post(server.url + TEXT, json={"prompt": "a"}).status_code == 503


def test_draining_refuses_new_work_and_finishes_the_old(
    server: Any, engine: Any, eventually: Eventually
) -> None:
    engine.hold_after = 2
    with ThreadPoolExecutor() as pool:
        running = pool.submit(httpx.post, server.url + TEXT, json={"prompt": "a b", "stream": True})
        eventually(lambda: engine.running)
        server.client.draining = True
        refused = httpx.post(server.url + TEXT, json={"prompt": "a"})
        assert refused.status_code == 503
        assert "retry-after" in refused.headers
        assert httpx.get(server.url + "/health").status_code == 503
        assert httpx.get(server.url + "/ping").status_code == 200
        engine.hold_after = None
        assert running.result().text.endswith("data: [DONE]\n\n")


def test_the_end_of_the_drain_time_is_an_error_event(
    server: Any, engine: Any, eventually: Eventually
) -> None:
    engine.hold_after = 2
    with ThreadPoolExecutor() as pool:
        running = pool.submit(httpx.post, server.url + TEXT, json={"prompt": "a b", "stream": True})
        eventually(lambda: engine.running)
        eventually(lambda: server.metrics.generation_tokens.value)
        server.call(lambda: server.client.end_all(unavailable("The server is shutting down.")))
        text = running.result().text
    assert '"error"' in text
    assert text.endswith("data: [DONE]\n\n")
    eventually(lambda: not engine.running)


def test_an_engine_that_falls_silent_ends_streams_and_health(
    server: Any, engine: Any, eventually: Eventually
) -> None:
    engine.hold_after = 2
    with ThreadPoolExecutor() as pool:
        pieces: list[str] = []
        streaming = pool.submit(stream, server.url + TEXT, pieces)
        eventually(lambda: pieces)
        assert httpx.get(server.url + "/ping").status_code == 200
        engine.silent = True
        server.client._silence_timeout = 0.05
        streaming.result()
    assert "silent" in "".join(pieces).split("\n\n")[-3]
    assert pieces[-1].endswith("data: [DONE]\n\n")
    for path in ("/health", "/ping"):
        assert httpx.get(server.url + path).status_code == 503


def test_a_step_that_never_ends_is_unhealthy(server: Any, engine: Any, eventually: Eventually) -> None:
    engine.step_age = 4.0
    eventually(lambda: server.client.links[0]._step_age == 4.0)
    assert httpx.get(server.url + "/ping").status_code == 200
    engine.step_age = 6.0
    eventually(lambda: httpx.get(server.url + "/ping").status_code == 503)
    assert "6 s" in httpx.get(server.url + "/ping").json()["error"]["message"]


def test_garbage_from_the_engine_is_a_failure_not_a_crash(server: Any, engine: Any) -> None:
    httpx.post(server.url + TEXT, json={"prompt": "a", "max_tokens": 1})
    server.call(lambda: server.client.links[0]._dispatch_frame(b"\xc1garbage"))
    assert httpx.get(server.url + "/health").status_code == 503


def test_a_stream_that_waits_long_is_kept_alive(
    server: Any, engine: Any, monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    monkeypatch.setattr("paddock.server.generation.answer.KEEP_ALIVE_SECONDS", 0.05)
    engine.hold_after = 0
    with httpx.stream(
        "POST", server.url + TEXT, json={"prompt": "a", "stream": True}, timeout=20
    ) as response:
        lines = response.iter_lines()
        assert next(lines) == ": keep-alive"
        engine.hold_after = None
        assert list(lines)[-2:] == ["data: [DONE]", ""]


def test_a_long_prompt_is_tokenized_beside_the_loop(server: Any, engine: Any) -> None:
    body = {"prompt": "fox " * 2_000, "truncate_prompt_tokens": 8, "max_tokens": 1}
    assert httpx.post(server.url + TEXT, json=body).status_code == 200
    assert len(engine.seen[0].prompt_token_ids) == 8


def test_a_fault_of_ours_is_a_500_without_internals(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fault(*_: Any) -> None:
        raise RuntimeError("secret internals")

    monkeypatch.setattr("paddock.server.routes.completions.sequences", fault)
    response = httpx.post(server.url + TEXT, json={"prompt": "a"})
    assert response.status_code == 500
    assert response.json()["error"]["type"] == "InternalServerError"
    assert "secret" not in response.text
