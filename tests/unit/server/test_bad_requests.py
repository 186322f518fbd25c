"""Every request that cannot be served is a 4xx in the OpenAI envelope that names the field."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

CHAT = "/v1/chat/completions"
TEXT = "/v1/completions"
HELLO = [{"role": "user", "content": "hi"}]


def nested(depth: int) -> dict[str, Any]:
    return {"items": nested(depth - 1)} if depth > 1 else {}


CHAT_FIELDS: list[tuple[dict[str, Any], str]] = [
    ({"messages": None}, "messages"),
    ({"messages": []}, "messages"),
    ({"messages": "hi"}, "messages"),
    ({"messages": [{"role": "pirate", "content": "arr"}]}, "messages.0"),
    ({"messages": [{"content": "no role"}]}, "messages.0"),
    ({"messages": [{"role": "user"}]}, "messages.0.content"),
    ({"messages": [{"role": "user", "content": 3}]}, "messages.0.content"),
    (
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
        "messages.0.content.0",
    ),
    ({"messages": [{"role": "user", "content": "x", "mood": 1}]}, "messages.0.mood"),
    ({"messages": [{"role": "assistant"}]}, "messages.0"),
    ({"messages": [{"role": "tool", "content": "x"}]}, "messages.0.tool_call_id"),
    ({"temperature": -0.1}, "temperature"),
    ({"temperature": 2.1}, "temperature"),
    ({"temperature": "0.5"}, "temperature"),
    ({"temperature": True}, "temperature"),
    ({"top_p": 0}, "top_p"),
    ({"top_p": 1.01}, "top_p"),
    ({"top_k": -2}, "top_k"),
    ({"top_k": 1.5}, "top_k"),
    ({"min_p": 1.1}, "min_p"),
    ({"presence_penalty": 2.5}, "presence_penalty"),
    ({"frequency_penalty": -2.5}, "frequency_penalty"),
    ({"repetition_penalty": 0}, "repetition_penalty"),
    ({"n": 0}, "n"),
    ({"n": 129}, "n"),
    ({"n": "2"}, "n"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"max_tokens": True}, "max_tokens"),
    ({"max_completion_tokens": 0}, "max_completion_tokens"),
    ({"max_tokens": 100_000}, "max_tokens"),
    ({"min_tokens": 9, "max_tokens": 8}, "min_tokens"),
    ({"seed": 2**63}, "seed"),
    ({"stop": ""}, "stop"),
    ({"stop": ["a", 3]}, "stop.1"),
    ({"stop": ["a"] * 65}, "stop"),
    ({"stop_token_ids": [500]}, "stop_token_ids"),
    ({"stop_token_ids": [-1]}, "stop_token_ids.0"),
    ({"logit_bias": {"500": 1}}, "logit_bias"),
    ({"logit_bias": {"fox": 1}}, "logit_bias"),
    ({"logit_bias": {"1": "much"}}, "logit_bias.1"),
    ({"logprobs": 1}, "logprobs"),
    ({"top_logprobs": 2}, "top_logprobs"),
    ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
    ({"logprobs": True, "top_logprobs": 6}, "top_logprobs"),
    ({"prompt_logprobs": 6}, "prompt_logprobs"),
    ({"prompt_logprobs": 1, "stream": True}, "prompt_logprobs"),
    ({"stream": 1}, "stream"),
    ({"stream_options": {"include_usage": True}}, "stream_options"),
    ({"stream": True, "stream_options": {"include_usage": "yes"}}, "stream_options.include_usage"),
    ({"stream": True, "stream_options": {"surprise": 1}}, "stream_options.surprise"),
    ({"stream": True, "stream_options": {"continuous_usage_stats": True}}, "stream_options"),
    ({"truncate_prompt_tokens": -2}, "truncate_prompt_tokens"),
    ({"truncate_prompt_tokens": 0}, "truncate_prompt_tokens"),
    ({"priority": 1}, "priority"),
    ({"cache_salt": ""}, "cache_salt"),
    ({"cache_salt": "x" * 1025}, "cache_salt"),
    ({"continue_final_message": True, "add_generation_prompt": True}, "continue_final_message"),
    ({"chat_template_kwargs": []}, "chat_template_kwargs"),
    ({"chat_template_kwargs": {"chat_template": "x"}}, "chat_template_kwargs"),
    ({"chat_template_kwargs": {"messages": []}}, "chat_template_kwargs"),
    ({"request_id": ""}, "request_id"),
    ({"request_id": "a b"}, "request_id"),
    ({"request_id": "x" * 129}, "request_id"),
    ({"return_token_ids": 1}, "return_token_ids"),
    ({"echo": 1}, "echo"),
    ({"best_of": 2}, "best_of"),
    ({"tools": []}, "tools"),
    ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
    ({"tool_choice": "required"}, "tool_choice"),
    ({"functions": []}, "functions"),
    ({"response_format": {"type": "json"}}, "response_format.type"),
    ({"response_format": {"type": "json_schema"}}, "response_format"),
    (
        {"response_format": {"type": "json_schema", "json_schema": {"name": "a"}}},
        "response_format.json_schema.schema",
    ),
    ({"response_format": {"type": "structural_tag"}}, "response_format"),
    ({"response_format": {"type": "text", "format": {"a": 1}}}, "response_format"),
    ({"structured_outputs": {}}, "structured_outputs"),
    ({"structured_outputs": {"regex": "a", "choice": ["b"]}}, "structured_outputs"),
    ({"structured_outputs": {"regex": "a", "whitespace_pattern": " "}}, "structured_outputs"),
    ({"structured_outputs": {"json": "{"}}, "structured_outputs.json"),
    ({"structured_outputs": {"json": nested(65)}}, "structured_outputs"),
    ({"structured_outputs": {"json": {"title": "x" * 262_144}}}, "structured_outputs"),
    (
        {"structured_outputs": {"regex": "a"}, "response_format": {"type": "json_object"}},
        "structured_outputs",
    ),
    ({"structured_outputs": {"regex": "a"}, "ignore_eos": True}, "ignore_eos"),
    ({"guided_regex": "a", "guided_json": {}}, "guided_json"),
    ({"guided_decoding_backend": "xgrammar"}, "guided_decoding_backend"),
    ({"use_beam_search": True, "n": 2, "guided_regex": "a"}, "guided_regex"),
    ({"use_beam_search": True, "n": 2, "response_format": {"type": "json_object"}}, "response_format"),
    ({"bad_words": [""]}, "bad_words"),
    ({"bad_words": ["x" * 201]}, "bad_words"),
    ({"bad_words": ["x"] * 257}, "bad_words"),
    ({"logits_processors": [{"kwargs": {}}]}, "logits_processors.0.qualname"),
    ({"logits_processors": ["a.B", {"qualname": "a.B"}]}, "logits_processors"),
    ({"vllm_xargs": []}, "vllm_xargs"),
    ({"allowed_token_ids": []}, "allowed_token_ids"),
    ({"allowed_token_ids": [500]}, "allowed_token_ids"),
    ({"allowed_token_ids": [True]}, "allowed_token_ids.0"),
    ({"use_beam_search": 1}, "use_beam_search"),
    ({"use_beam_search": True, "n": 2, "stream": True}, "stream"),
    ({"use_beam_search": True, "n": 2, "temperature": 0.5}, "temperature"),
    ({"use_beam_search": True, "n": 2, "stop": "x"}, "stop"),
    ({"use_beam_search": True, "n": 2, "seed": 1}, "seed"),
    ({"use_beam_search": True, "n": 2, "bad_words": ["x"]}, "bad_words"),
    ({"length_penalty": 2.0}, "length_penalty"),
    ({"early_stopping": True}, "early_stopping"),
    ({"chat_template": "x"}, "chat_template"),
    ({"reasoning_effort": "much"}, "reasoning_effort"),
    ({"reasoning_effort": "high"}, "reasoning_effort"),
    ({"no_such_field": 1}, "no_such_field"),
    ({"messages": [{"role": "user", "content": "x"}, *[{}] * 50_000]}, "messages.1"),
    (
        {"messages": [{"role": "user", "content": "x", **dict.fromkeys(map(str, range(50_000)))}]},
        "messages.0",
    ),
    ({"messages": [{"role": "user", "content": [{}] * 50_000}]}, "messages.0.content.0"),
    ({"logit_bias": dict.fromkeys(map(str, range(5_000)), 1)}, "logit_bias"),
]
TEXT_FIELDS: list[tuple[dict[str, Any], str]] = [
    ({"prompt": None}, "prompt"),
    ({"prompt": []}, "prompt"),
    ({"prompt": ""}, "prompt"),
    ({"prompt": [""]}, "prompt"),
    ({"prompt": [[]]}, "prompt"),
    ({"prompt": [1, "a"]}, "prompt"),
    ({"prompt": [-1]}, "prompt"),
    ({"prompt": [500]}, "prompt"),
    ({"prompt": [True]}, "prompt"),
    ({"prompt": 5}, "prompt"),
    ({"prompt": [1] * 256}, "prompt"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"max_tokens": 256}, "max_tokens"),
    ({"prompt": ["a"] * 20, "n": 100}, "prompt"),
    ({"prompt": [1] * 100_000 + ["a"]}, "prompt"),
    ({"logprobs": 6}, "logprobs"),
    ({"logprobs": True}, "logprobs"),
    ({"logprobs": -1}, "logprobs"),
    ({"suffix": "tail"}, "suffix"),
    ({"prompt_embeds": "AAAA"}, "prompt_embeds"),
    ({"top_logprobs": 1}, "top_logprobs"),
    ({"max_completion_tokens": 1}, "max_completion_tokens"),
]


@pytest.fixture
def http(shared_http: httpx.Client) -> httpx.Client:
    return shared_http


def error_of(response: httpx.Response) -> dict[str, Any]:
    error: dict[str, Any] = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["code"] == response.status_code
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-request-id"]
    return error


@pytest.mark.parametrize(("fields", "param"), CHAT_FIELDS, ids=lambda value: str(value)[:60])
def test_a_bad_chat_field_is_named(http: httpx.Client, fields: dict[str, Any], param: str) -> None:
    response = http.post(CHAT, json={"model": "tiny", "messages": HELLO, **fields})
    assert response.status_code == 400, response.text
    error = error_of(response)
    assert error["type"] == "BadRequestError"
    assert error["param"].startswith(param)
    assert param.split(".")[0] in error["message"]


@pytest.mark.parametrize(("fields", "param"), TEXT_FIELDS, ids=lambda value: str(value)[:60])
def test_a_bad_completion_field_is_named(http: httpx.Client, fields: dict[str, Any], param: str) -> None:
    response = http.post(TEXT, json={"model": "tiny", "prompt": "hi", **fields})
    assert response.status_code == 400, response.text
    assert error_of(response)["param"].startswith(param)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'"text"',
        b'{"temperature": NaN}',
        b'{"temperature": Infinity}',
        b'{"temperature": 1e999}',
        b'{"prompt": "\\ud800"}',
        b'{"prompt": "\xff"}',
        b'{"seed": 123456789012345678901234567890, "prompt": "a"}',
        b"[" * 100_000,
    ],
    ids=lambda body: repr(body[:24]),
)
def test_a_broken_body_is_a_400(http: httpx.Client, body: bytes) -> None:
    response = http.post(TEXT, content=body, headers={"content-type": "application/json"})
    assert response.status_code == 400, response.text
    error_of(response)


def test_another_content_type_is_a_400(http: httpx.Client) -> None:
    response = http.post(TEXT, data={"prompt": "a"})
    assert response.status_code == 400
    assert "application/json" in error_of(response)["message"]


def test_an_unknown_model_is_a_404(http: httpx.Client) -> None:
    response = http.post(CHAT, json={"model": "gpt", "messages": HELLO})
    assert response.status_code == 404
    error = error_of(response)
    assert (error["type"], error["param"]) == ("NotFoundError", "model")


def test_an_unknown_route_and_a_wrong_method_keep_the_envelope(http: httpx.Client) -> None:
    assert error_of(http.get("/v2/nothing"))["code"] == 404
    assert "; there is /v1/models." in error_of(http.get("/models"))["message"]
    assert "; there is /v1/chat/completions." in error_of(http.post("/v1/v1/chat/completions"))["message"]
    response = http.get(CHAT)
    assert error_of(response)["code"] == 405
    assert response.headers["allow"] == "POST"


def test_a_prompt_beyond_the_context_names_both_numbers(http: httpx.Client) -> None:
    response = http.post(TEXT, json={"prompt": [1] * 300, "max_tokens": 5})
    message = error_of(response)["message"]
    assert "maximum context length is 256 tokens" in message
    assert "300 tokens" in message


def test_a_text_that_cannot_fit_is_refused_without_tokenizing(http: httpx.Client) -> None:
    response = http.post(TEXT, json={"prompt": "x " * 1_000_000})
    assert "maximum context length" in error_of(response)["message"]


def test_at_most_ten_faults_are_named_and_echoes_are_cut(http: httpx.Client) -> None:
    faults = {f"field_{number}": "x" * 1_000 for number in range(20)}
    message = error_of(http.post(TEXT, json={"prompt": "a", "n": "y" * 5_000, **faults}))["message"]
    assert "and 11 more" in message
    assert len(message) < 1_000


def test_a_body_full_of_unknown_fields_is_refused_at_once(http: httpx.Client) -> None:
    error = error_of(http.post(TEXT, json={"prompt": "a", **dict.fromkeys(map(str, range(100_000)), 1)}))
    assert "at most 100" in error["message"]


def test_a_body_over_the_limit_is_a_413(http: httpx.Client) -> None:
    response = http.post(TEXT, content=b" " * (33 * 2**20), headers={"content-type": "application/json"})
    assert error_of(response)["code"] == 413


def test_a_chunked_body_over_the_limit_is_a_413(http: httpx.Client) -> None:
    def body() -> Any:
        for _ in range(33):
            yield b" " * 2**20

    response = http.post(TEXT, content=body(), headers={"content-type": "application/json"})
    assert error_of(response)["code"] == 413


@pytest.mark.parametrize(
    "header", [{"user": "me"}, {"store": True}, {"metadata": {"a": "b"}}, {"verbosity": "low"}]
)
def test_fields_without_effect_are_accepted(http: httpx.Client, header: dict[str, Any]) -> None:
    response = http.post(TEXT, json={"prompt": "hi", "max_tokens": 1, **header})
    assert response.status_code == 200, response.text


def test_null_equals_absent_for_every_optional_field(http: httpx.Client) -> None:
    names = {path.split(".")[0] for _, path in CHAT_FIELDS} - {"messages", "no_such_field"}
    response = http.post(CHAT, json={"messages": HELLO, **dict.fromkeys(names), "max_tokens": 1})
    assert response.status_code == 200, response.text


@pytest.mark.parametrize(
    "fields",
    [
        {"best_of": 1},
        {"use_beam_search": False},
        {"tool_choice": "none"},
        {"response_format": {"type": "text"}},
    ],
)
def test_values_that_ask_for_nothing_are_accepted(http: httpx.Client, fields: dict[str, Any]) -> None:
    response = http.post(CHAT, json={"messages": HELLO, "max_tokens": 1, **fields})
    assert response.status_code == 200, response.text


def test_messages_without_a_template_are_a_400_and_completions_still_work(
    start_server: Callable[..., Any], byte_level_folder: Any, tmp_path: Any
) -> None:
    (tmp_path / "tokenizer.json").write_bytes((byte_level_folder / "tokenizer.json").read_bytes())
    url = start_server(folder=tmp_path).url
    refused = httpx.post(url + CHAT, json={"messages": HELLO})
    assert refused.status_code == 400
    assert "--chat-template" in error_of(refused)["message"]
    assert httpx.post(url + TEXT, json={"prompt": "hi"}).status_code == 200


def test_what_a_template_refuses_is_the_callers_error(start_server: Callable[..., Any]) -> None:
    server = start_server(chat_template="{{ raise_exception('roles must alternate') }}")
    response = httpx.post(server.url + CHAT, json={"messages": HELLO})
    assert response.status_code == 400
    assert "roles must alternate" in error_of(response)["message"]


def test_tool_arguments_in_the_history_must_be_json(http: httpx.Client) -> None:
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{oops"}}
    messages = [*HELLO, {"role": "assistant", "content": None, "tool_calls": [call]}]
    error = error_of(http.post(CHAT, json={"messages": messages}))
    assert error["param"] == "messages.1.tool_calls.0.function.arguments"
