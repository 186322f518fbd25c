"""/v1/chat/completions, asked with the official client."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import openai
import pytest

HELLO: Any = [{"role": "user", "content": "hi"}]


@pytest.fixture
def client(server: Any) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0, timeout=20) as client:
        yield client


def events(response: httpx.Response) -> list[dict[str, Any]]:
    lines = [line for line in response.text.split("\n\n") if line]
    assert lines[-1] == "data: [DONE]"
    return [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]


def test_a_whole_answer_has_text_reason_and_usage(client: openai.OpenAI, engine: Any) -> None:
    engine.script = "Grüße 日本語 🙂"
    answer = client.chat.completions.create(model="alias", messages=HELLO)
    choice = answer.choices[0]
    assert (choice.message.content, choice.message.role) == ("Grüße 日本語 🙂", "assistant")
    assert (choice.finish_reason, answer.model, answer.object) == ("stop", "alias", "chat.completion")
    assert answer.id.startswith("chatcmpl-")
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert answer.usage.prompt_tokens == len(engine.seen[0].prompt_token_ids)
    assert answer.usage.prompt_tokens_details is None


def test_eos_is_counted_but_not_shown(client: openai.OpenAI, engine: Any, tokenizer: Any) -> None:
    engine.script = "fox"
    answer = client.chat.completions.create(
        model="tiny", messages=HELLO, extra_body={"skip_special_tokens": False}
    )
    assert answer.choices[0].message.content == "fox"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == len(tokenizer.encode("fox", False)) + 1


def test_a_stream_equals_the_whole_answer(client: openai.OpenAI, engine: Any) -> None:
    engine.script = "Köln 👩‍👩‍👧 日本語"
    stream = client.chat.completions.create(
        model="tiny", messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == engine.script
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert len({(c.id, c.created, c.model) for c in chunks}) == 1


def test_frames_are_as_documented(http: httpx.Client, engine: Any) -> None:
    engine.script = "fox"
    response = http.post("/v1/chat/completions", json={"messages": HELLO, "stream": True})
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert response.headers["cache-control"] == "no-cache"
    assert response.headers["x-accel-buffering"] == "no"
    chunks = events(response)
    assert chunks[0]["choices"] == [
        {"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None, "logprobs": None}
    ]
    assert chunks[-1]["choices"][0]["delta"] == {}
    assert all("usage" not in chunk for chunk in chunks)
    assert all(set(chunk["choices"][0]["delta"]) == {"content"} for chunk in chunks[1:-1])


def test_role_chunks_of_n_choices_come_first_and_in_order(http: httpx.Client, engine: Any) -> None:
    response = http.post(
        "/v1/chat/completions", json={"messages": HELLO, "stream": True, "n": 3, "max_tokens": 4}
    )
    choices = [chunk["choices"][0] for chunk in events(response)]
    assert [(c["index"], c["delta"].get("role")) for c in choices[:3]] == [(i, "assistant") for i in range(3)]
    assert all("role" not in choice["delta"] for choice in choices[3:])
    assert sorted(c["index"] for c in choices if c["finish_reason"]) == [0, 1, 2]


def test_usage_counts_the_prompt_once_and_all_choices(client: openai.OpenAI, engine: Any) -> None:
    answer = client.chat.completions.create(model="tiny", messages=HELLO, n=3, max_tokens=5, temperature=0)
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == len(engine.seen[0].prompt_token_ids)
    assert answer.usage.completion_tokens == 15
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert {choice.finish_reason for choice in answer.choices} == {"length"}


def test_running_usage_is_on_every_chunk_when_asked(http: httpx.Client) -> None:
    options = {"include_usage": True, "continuous_usage_stats": True}
    body = {"messages": HELLO, "stream": True, "stream_options": options, "max_tokens": 4}
    chunks = events(http.post("/v1/chat/completions", json=body))
    counts = [chunk["usage"]["completion_tokens"] for chunk in chunks[1:]]
    assert counts == sorted(counts)
    assert counts[-1] == 4


@pytest.mark.parametrize("tokens_per_step", [1, 3])
def test_a_stop_string_across_tokens_cuts_the_text_and_ends_the_sequence(
    client: openai.OpenAI, engine: Any, tokens_per_step: int, eventually: Callable[..., None]
) -> None:
    engine.script = "The quick brown fox jumps over the lazy dog. " * 4
    engine.tokens_per_step = tokens_per_step
    engine.hold_after = 60  # it would go on if nobody ended it
    stream = client.chat.completions.create(model="tiny", messages=HELLO, stop=["ox ju", "zzz"], stream=True)
    chunks = list(stream)
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == "The quick brown f"
    finish = chunks[-1].choices[0]
    assert finish.finish_reason == "stop"
    assert finish.model_extra is not None
    assert finish.model_extra["stop_reason"] == "ox ju"
    eventually(lambda: not engine.running)


def test_the_stop_string_stays_when_asked_for(client: openai.OpenAI, engine: Any) -> None:
    engine.script = "The quick brown fox"
    answer = client.chat.completions.create(
        model="tiny", messages=HELLO, stop="quick", extra_body={"include_stop_str_in_output": True}
    )
    assert answer.choices[0].message.content == "The quick"


def test_a_stop_string_before_min_tokens_is_text(client: openai.OpenAI, engine: Any, tokenizer: Any) -> None:
    engine.script = "stop now. The end. stop again."
    first = len(tokenizer.encode("stop now. The", False))
    answer = client.chat.completions.create(
        model="tiny", messages=HELLO, stop="stop", extra_body={"min_tokens": first}
    )
    assert answer.choices[0].message.content == "stop now. The end. "


def test_held_text_is_released_at_the_end(client: openai.OpenAI, engine: Any) -> None:
    engine.script = "almost ST"
    stream = client.chat.completions.create(model="tiny", messages=HELLO, stop="STOP", stream=True)
    assert "".join(c.choices[0].delta.content or "" for c in stream) == "almost ST"


@pytest.mark.parametrize("stream", [False, True])
def test_logprobs_have_one_entry_per_token_with_raw_bytes(
    http: httpx.Client, engine: Any, tokenizer: Any, stream: bool
) -> None:
    engine.script = "日本 fox"
    body = {"messages": HELLO, "logprobs": True, "top_logprobs": 2, "stream": stream}
    response = http.post("/v1/chat/completions", json=body)
    choices = [c["choices"][0] for c in events(response)] if stream else response.json()["choices"]
    entries = [entry for choice in choices for entry in ((choice.get("logprobs") or {}).get("content") or [])]
    raw = b"".join(bytes(entry["bytes"]) for entry in entries)
    assert raw.removesuffix(b"<|im_end|>").decode() == "日本 fox"
    assert len(entries) == len(tokenizer.encode("日本 fox", False)) + 1
    assert all(entry["logprob"] == -9999.0 and len(entry["top_logprobs"]) == 2 for entry in entries)


def test_tokens_can_be_worded_as_ids(http: httpx.Client, engine: Any) -> None:
    body = {"messages": HELLO, "logprobs": True, "return_tokens_as_token_ids": True, "max_tokens": 2}
    entries = http.post("/v1/chat/completions", json=body).json()["choices"][0]["logprobs"]["content"]
    assert all(entry["token"].startswith("token_id:") for entry in entries)


def test_prompt_logprobs_come_with_a_whole_answer(http: httpx.Client, engine: Any) -> None:
    body = {"messages": HELLO, "prompt_logprobs": 1, "max_tokens": 2}
    prompt = http.post("/v1/chat/completions", json=body).json()["prompt_logprobs"]
    assert prompt[0] is None
    assert len(prompt) == len(engine.seen[0].prompt_token_ids)
    assert prompt[1]["11"]["rank"] == 1


def test_unset_sampling_comes_from_the_servers_defaults(http: httpx.Client, engine: Any) -> None:
    http.post("/v1/chat/completions", json={"messages": HELLO, "top_k": -1, "logit_bias": {"7": 250}})
    sampling = engine.seen[0].sampling
    assert (sampling.temperature, sampling.top_p, sampling.top_k) == (0.5, 1.0, 0)
    assert sampling.logit_bias == {7: 100.0}
    assert sampling.max_tokens == 256 - len(engine.seen[0].prompt_token_ids)


def test_choices_get_seeds_of_their_own_and_minus_one_is_none(http: httpx.Client, engine: Any) -> None:
    http.post("/v1/chat/completions", json={"messages": HELLO, "n": 3, "seed": 7, "max_tokens": 1})
    http.post("/v1/chat/completions", json={"messages": HELLO, "seed": -1, "max_tokens": 1})
    seeds = [request.sampling.seed for request in engine.seen]
    assert seeds[0] == 7
    assert len(set(seeds[:3])) == 3
    assert seeds[3] is None


def test_text_parts_template_variables_and_history_reach_the_prompt(
    start_server: Callable[..., Any], engine: Any, tokenizer: Any
) -> None:
    server = start_server(
        chat_template="{% for m in messages %}{{ m.role }}:{{ m.content }}"
        "{% for c in m.tool_calls or [] %}{{ c.function.arguments.x }}{% endfor %};{% endfor %}{{ mood }}"
    )
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x": 5}'}}
    messages = [
        {"role": "user", "content": [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]},
        {"role": "assistant", "content": "", "tool_calls": [call], "refusal": None},
        {"role": "tool", "content": "done", "tool_call_id": "a"},
    ]
    body = {"messages": messages, "chat_template_kwargs": {"mood": "glad"}, "max_tokens": 1}
    assert httpx.post(server.url + "/v1/chat/completions", json=body).status_code == 200
    assert (
        tokenizer.decode(engine.seen[0].prompt_token_ids, False) == "user:one\ntwo;assistant:5;tool:done;glad"
    )


def test_the_last_message_can_be_continued(http: httpx.Client, engine: Any, tokenizer: Any) -> None:
    messages = [*HELLO, {"role": "assistant", "content": "Once upon"}]
    body = {"messages": messages, "continue_final_message": True, "max_tokens": 1}
    http.post("/v1/chat/completions", json=body)
    assert tokenizer.decode(engine.seen[0].prompt_token_ids, False).endswith("assistant\nOnce upon")


def test_the_prompt_can_be_cut_from_the_left(http: httpx.Client, engine: Any) -> None:
    long = [{"role": "user", "content": "fox " * 400}]
    body = {"messages": long, "truncate_prompt_tokens": 10, "max_tokens": 1}
    assert http.post("/v1/chat/completions", json=body).status_code == 200
    assert len(engine.seen[0].prompt_token_ids) == 10
    body = {"messages": long, "truncate_prompt_tokens": -1, "max_tokens": 6}
    assert http.post("/v1/chat/completions", json=body).status_code == 200
    assert len(engine.seen[1].prompt_token_ids) == 250
