"""What is sent, by API; and what a stream's pieces are counted as."""

import asyncio
import json
import time
from typing import Any

import pytest
from http_thread import HttpThread
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from paddock.server.bench.api import RequestSettings, check_endpoint
from paddock.server.bench.errors import BenchError
from paddock.server.bench.outcome import Outcome
from paddock.server.bench.sample import Sample
from paddock.server.bench.stream_client import new_session, send

SAMPLE = Sample(7, text="hi")


def test_a_completion_is_asked_for_with_its_length_and_usage() -> None:
    body = RequestSettings("openai", {"temperature": 0.0}, logprobs=2).body("m", SAMPLE)
    assert body == {
        "model": "m", "prompt": "hi", "max_tokens": 7, "temperature": 0.0, "logprobs": 2, "stream": True,
        "stream_options": {"include_usage": True},
    }  # fmt: skip


def test_a_chat_has_messages_and_its_own_form_of_logprobs() -> None:
    body = RequestSettings("openai-chat", logprobs=2).body("m", SAMPLE)
    assert body["messages"] == [{"role": "user", "content": "hi"}]
    assert (body["logprobs"], body["top_logprobs"]) == (True, 2)


def test_a_beam_search_is_answered_whole_and_extra_fields_win() -> None:
    settings = RequestSettings("openai", use_beam_search=True, extra_body={"n": 4, "max_tokens": 2})
    body = settings.body("m", SAMPLE)
    assert "stream" not in body
    assert (body["use_beam_search"], body["n"], body["max_tokens"]) == (True, 4, 2)


def test_an_embedding_request_holds_all_its_inputs() -> None:
    one = Sample(1, token_ids=[1, 2])
    several = Sample(1, token_ids=[1, 2], more_inputs=([3],))
    settings = RequestSettings("openai-embeddings")
    assert settings.body("m", one) == {"model": "m", "input": [1, 2]}
    assert settings.body("m", several) == {"model": "m", "input": [[1, 2], [3]]}


@pytest.mark.parametrize(
    ("backend", "endpoint"),
    [("openai-chat", "/v1/completions"), ("openai", "/v1/chat/completions"), ("openai-embeddings", "/v1/x")],
)
def test_requests_do_not_go_to_the_route_of_another_api(backend: str, endpoint: str) -> None:
    with pytest.raises(
        BenchError, match=f"--endpoint {endpoint}: --backend {backend} needs a path that ends in"
    ):
        check_endpoint(backend, endpoint)


def asked(*events: Any, end: str = "data: [DONE]\n\n") -> Outcome:
    """The outcome of a request that a server answers with these events."""
    frames = ": keep-alive\n\n" + "".join(f"data: {json.dumps(event)}\n\n" for event in events) + end

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        await Request(scope, receive).body()
        # In pieces that end anywhere.
        pieces = [frames[at : at + 11] for at in range(0, len(frames), 11)]
        await StreamingResponse(iter(pieces), media_type="text/event-stream")(scope, receive, send)

    async def ask(port: int) -> Outcome:
        async with new_session({}) as session:
            return await send(session, f"http://127.0.0.1:{port}/v1/x", b"{}", "id", time.perf_counter())

    with HttpThread(answer) as server:
        return asyncio.run(ask(server.port))


def test_pieces_with_text_are_timed_and_usage_counts_the_tokens() -> None:
    outcome = asked(
        {"choices": [{"delta": {"role": "assistant", "content": ""}}]},
        {"choices": [{"delta": {"content": "a"}}]},
        {"choices": [{"delta": {"content": "bc"}}]},
        {"choices": [{"delta": {}, "finish_reason": "stop"}]},
        {"choices": [], "usage": {"prompt_tokens": 4, "completion_tokens": 3}},
    )
    assert outcome.error == ""
    assert (outcome.text, outcome.num_prompt_tokens, outcome.num_output_tokens) == ("abc", 4, 3)
    assert outcome.first_token is not None
    assert len(outcome.gaps) == 1
    assert outcome.seconds >= outcome.first_token


def test_an_error_in_a_stream_and_a_stream_cut_short_are_failures() -> None:
    assert "engine failed" in asked({"error": {"message": "engine failed"}}).error
    assert asked({"choices": [{"text": "a"}]}, end="").error == "the stream ended before its [DONE]"


def test_a_server_that_is_not_there_is_a_failure() -> None:
    async def ask() -> Outcome:
        async with new_session({}) as session:
            return await send(session, "http://127.0.0.1:1/", b"{}", "id", time.perf_counter())

    assert "ClientConnectorError" in asyncio.run(ask()).error
