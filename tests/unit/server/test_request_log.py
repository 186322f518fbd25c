"""What --enable-log-requests, --enable-log-outputs, --max-log-len and --log-error-stack write."""

import logging
from collections.abc import Callable
from typing import Any

import httpx
import pytest

CHAT = "/v1/chat/completions"
TEXT = "/v1/completions"
HELLO: Any = [{"role": "user", "content": "hi"}]


@pytest.fixture(autouse=True)
def _hear_everything(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="paddock.server")


def lines(caplog: pytest.LogCaptureFixture, word: str) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.getMessage().startswith(word)]


def test_nothing_of_a_request_is_logged_unless_asked(
    start_server: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    httpx.post(start_server().url + TEXT, json={"prompt": "secret", "max_tokens": 1})
    assert "secret" not in caplog.text


@pytest.mark.parametrize(("limit", "shown"), [(None, "'" + "x" * 99 + "'"), (5, "'xxxxx'…"), (0, "''…")])
def test_a_logged_prompt_is_whole_or_as_long_as_allowed(
    start_server: Callable[..., Any], caplog: pytest.LogCaptureFixture, limit: int | None, shown: str
) -> None:
    url = start_server(log_requests=True, max_log_len=limit).url
    httpx.post(url + TEXT, json={"prompt": "x" * 99, "max_tokens": 1}, headers={"x-request-id": "mine"})
    [line] = lines(caplog, "request mine:")
    assert f"prompt {shown}, sampling" in line


def test_a_prompt_of_token_ids_is_cut_by_ids(
    start_server: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    url = start_server(log_requests=True, max_log_len=2).url
    httpx.post(url + TEXT, json={"prompt": [5, 6, 7], "max_tokens": 1})
    assert "prompt [5, 6]…" in lines(caplog, "request ")[0]


@pytest.mark.parametrize("stream", [False, True])
def test_answers_are_logged_once_per_choice_streamed_or_not(
    start_server: Callable[..., Any], engine: Any, caplog: pytest.LogCaptureFixture, stream: bool
) -> None:
    engine.script = "The quick brown fox"
    url = start_server(enable_log_outputs=True, max_log_len=9).url
    body = {"messages": HELLO, "n": 2, "stream": stream, "request_id": "mine"}
    assert httpx.post(url + CHAT, json=body).status_code == 200
    answers = sorted(lines(caplog, "answer mine:"))
    assert len(answers) == 2
    assert "choice 1" in answers[1]
    assert all("finish reason stop, text 'The quick'…" in line for line in answers)


def test_an_answer_that_its_caller_left_is_logged_as_far_as_it_came(
    start_server: Callable[..., Any],
    engine: Any,
    caplog: pytest.LogCaptureFixture,
    eventually: Callable[..., None],
) -> None:
    engine.script, engine.hold_after = "The quick brown fox", 4
    url = start_server(enable_log_outputs=True).url
    with httpx.stream("POST", url + TEXT, json={"prompt": "a", "stream": True}) as reply:
        next(reply.iter_raw())
    eventually(lambda: bool(lines(caplog, "answer ")))
    assert "finish reason abort, text 'T" in lines(caplog, "answer ")[0]


@pytest.mark.parametrize("on", [False, True])
def test_error_answers_are_logged_with_their_stack_when_asked(
    start_server: Callable[..., Any], caplog: pytest.LogCaptureFixture, on: bool
) -> None:
    url = start_server(log_error_stack=on).url
    bad = httpx.post(url + CHAT, json={"messages": HELLO, "n": 0}, headers={"x-request-id": "mine"})
    missing = httpx.get(url + "/nowhere")
    assert (bad.status_code, missing.status_code) == (400, 404)
    errors = [record for record in caplog.records if record.name == "paddock.server.errors"]
    assert len(errors) == (2 if on else 0)
    if on:
        assert "request mine: POST /v1/chat/completions is answered 400: n:" in errors[0].getMessage()
        assert "Traceback" in caplog.text
        assert "parse_request" in caplog.text


def test_a_request_cannot_write_lines_of_its_own_into_the_log(
    start_server: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    server = start_server(log_error_stack=True, log_requests=True)
    forged = "\nINFO forged"
    httpx.post(server.url + CHAT, json={"messages": HELLO, forged: 1})
    httpx.post(server.url + TEXT, json={"prompt": forged, "max_tokens": 1})
    assert "forged" in caplog.text
    assert not any(line.startswith("INFO forged") for line in caplog.text.splitlines())


@pytest.mark.parametrize("stream", [False, True])
def test_an_error_from_the_engine_is_logged_with_its_stack_too(
    start_server: Callable[..., Any], engine: Any, caplog: pytest.LogCaptureFixture, stream: bool
) -> None:
    engine.refusal = (400, "not this one")
    url = start_server(log_error_stack=True).url
    reply = httpx.post(url + CHAT, json={"messages": HELLO, "stream": stream})
    assert reply.status_code == 400
    [error] = [record for record in caplog.records if record.name == "paddock.server.errors"]
    assert "not this one" in error.getMessage()
    assert error.exc_info
