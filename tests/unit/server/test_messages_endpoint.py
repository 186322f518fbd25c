"""/v1/messages with Anthropic's own client: what models see, what clients get, in whole and in events."""

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import anthropic
import httpx
import pytest
from anthropic.types import Message
from thinking_caller import CALL, FLAGS, THOUGHT

ADD: Any = {
    "name": "add",
    "description": "Add numbers",
    "input_schema": {"type": "object", "properties": {"a": {"type": "integer"}}},
}
HELLO: Any = [{"role": "user", "content": "Hi"}]


@pytest.fixture(scope="module")
def server(start_shared: Callable[..., Any]) -> Any:
    return start_shared(**FLAGS)


@pytest.fixture
def engine(shared_engine: Any) -> Any:
    return shared_engine


@pytest.fixture(scope="module")
def client(server: Any) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=server.url, api_key="none", max_retries=0) as client:
        yield client


def create(client: anthropic.Anthropic, **request: Any) -> Message:
    return client.messages.create(**{"model": "tiny", "messages": HELLO, "max_tokens": 200, **request})


def streamed(client: anthropic.Anthropic, **request: Any) -> Message:
    with client.messages.stream(
        **{"model": "tiny", "messages": HELLO, "max_tokens": 200, **request}
    ) as stream:
        return stream.get_final_message()


@pytest.mark.parametrize("tokens_per_step", [1, 7, 100])
@pytest.mark.parametrize("make", [create, streamed])
def test_thinking_text_and_calls_are_blocks_in_their_order(
    client: anthropic.Anthropic, engine: Any, make: Callable[..., Message], tokens_per_step: int
) -> None:
    engine.script = THOUGHT
    engine.tokens_per_step = tokens_per_step
    message = make(client, tools=[ADD])
    thinking, text, call = Message.model_validate(message.model_dump(warnings=False)).content
    assert thinking.type == "thinking"
    assert thinking.thinking == "Let me see."
    assert text.type == "text"
    assert text.text == "Sure."
    assert call.type == "tool_use"
    assert (call.name, call.input) == ("add", {"a": 1})
    assert (message.stop_reason, message.role, message.model) == ("tool_use", "assistant", "tiny")
    assert message.usage.cache_read_input_tokens == 3
    assert message.usage.input_tokens == len(engine.seen[-1].prompt_token_ids) - 3
    assert message.usage.output_tokens > 10


def test_events_open_and_close_each_block_once_and_in_order(server: Any, engine: Any) -> None:
    engine.script = THOUGHT
    engine.tokens_per_step = 100
    body = {"model": "tiny", "max_tokens": 200, "messages": HELLO, "tools": [ADD], "stream": True}
    lines = httpx.post(server.url + "/v1/messages", json=body).text.splitlines()
    events = [json.loads(line[6:]) for line in lines if line.startswith("data: ")]
    assert [line[7:] for line in lines if line.startswith("event: ")] == [event["type"] for event in events]
    assert [(event["type"], event.get("index")) for event in events] == [
        ("message_start", None), ("ping", None),
        ("content_block_start", 0), ("content_block_delta", 0), ("content_block_delta", 0), ("content_block_stop", 0),
        ("content_block_start", 1), ("content_block_delta", 1), ("content_block_stop", 1),
        ("content_block_start", 2), ("content_block_delta", 2), ("content_block_stop", 2),
        ("message_delta", None), ("message_stop", None),
    ]  # fmt: skip
    assert events[3]["delta"] == {"type": "thinking_delta", "thinking": "Let me see."}
    assert events[10]["delta"] == {"type": "input_json_delta", "partial_json": '{"a": 1}'}


def test_the_asynchronous_client_streams_too(server: Any, engine: Any) -> None:
    engine.script = "One two three."

    async def ask() -> str:
        async with (
            anthropic.AsyncAnthropic(base_url=server.url, api_key="none") as client,
            client.messages.stream(model="tiny", messages=HELLO, max_tokens=200) as stream,
        ):
            return "".join([text async for text in stream.text_stream])

    assert asyncio.run(ask()) == "One two three."


@pytest.mark.parametrize("make", [create, streamed])
def test_the_stop_reason_says_why_it_ended(
    client: anthropic.Anthropic, engine: Any, make: Callable[..., Message]
) -> None:
    engine.script = "One two three."
    assert make(client).stop_reason == "end_turn"
    assert make(client, max_tokens=2).stop_reason == "max_tokens"
    stopped = make(client, stop_sequences=["zwei", " two"])
    assert (stopped.stop_reason, stopped.stop_sequence) == ("stop_sequence", " two")
    assert stopped.content[0].text == "One"  # type: ignore[union-attr]
    engine.script = CALL
    assert make(client, tools=[ADD], max_tokens=20).stop_reason == "max_tokens"


def test_the_template_sees_blocks_as_messages(client: anthropic.Anthropic, engine: Any) -> None:
    turns: Any = [
        {"role": "user", "content": [{"type": "text", "text": "One"}, {"type": "text", "text": "two"}]},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "Hm", "signature": ""},
                {"type": "text", "text": "Ok"},
                {"type": "tool_use", "id": "t1", "name": "add", "input": {"a": 1}},
                {"type": "tool_use", "id": "t2", "name": "add", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "t1", "content": "1"},
                {
                    "type": "tool_result",
                    "tool_use_id": "t2",
                    "is_error": True,
                    "content": [{"type": "text", "text": "no a"}],
                },
                {"type": "text", "text": "Well?", "cache_control": {"type": "ephemeral"}},
            ],
        },
    ]
    system: Any = [{"type": "text", "text": "Be brief"}]
    engine.script = "ok"
    create(client, messages=turns, system=system, tools=[ADD], max_tokens=9)
    assert engine.last_prompt() == (
        '[add]system:Be brief;user:One\ntwo;assistant:(Hm)Ok<add {"a": 1}><add {}>;tool:1;tool:Error: no a;user:Well?;'
    )


def test_the_answer_of_one_request_is_a_turn_of_the_next(client: anthropic.Anthropic, engine: Any) -> None:
    engine.script = THOUGHT
    answer = create(client, tools=[ADD])
    result = {"type": "tool_result", "tool_use_id": answer.content[2].id, "content": "2"}  # type: ignore[union-attr]
    turns = [*HELLO, {"role": "assistant", "content": answer.content}, {"role": "user", "content": [result]}]
    create(client, messages=turns, tools=[ADD], max_tokens=9)
    assert engine.last_prompt() == '[add]user:Hi;assistant:(Let me see.)Sure.<add {"a": 1}>;tool:2;'


def test_a_last_turn_of_the_assistants_is_the_beginning_of_the_answer(
    client: anthropic.Anthropic, engine: Any
) -> None:
    engine.script = " two"
    answer = create(client, messages=[*HELLO, {"role": "assistant", "content": "One"}])
    assert engine.last_prompt() == "user:Hi;assistant:One"
    assert answer.content[0].text == " two"  # type: ignore[union-attr]


def test_thinking_is_turned_on_and_off_and_left_out(client: anthropic.Anthropic, engine: Any) -> None:
    engine.script = "<think>Hm</think>Ok"
    adaptive: Any = {"type": "adaptive"}
    assert [block.type for block in create(client, thinking=adaptive).content] == ["thinking", "text"]
    assert engine.last_prompt().startswith("!")
    hidden: Any = {"type": "adaptive", "display": "omitted"}
    assert [block.type for block in create(client, thinking=hidden).content] == ["text"]
    assert [block.type for block in create(client, thinking={"type": "disabled"}).content] == ["text"]
    assert not engine.last_prompt().startswith("!")


@pytest.mark.parametrize(
    ("choice", "constrained"),
    [
        ({"type": "auto"}, False),
        ({"type": "any"}, True),
        ({"type": "tool", "name": "add"}, True),
        ({"type": "none"}, False),
    ],
)
def test_tool_choice_says_whether_a_call_must_come(
    client: anthropic.Anthropic, engine: Any, choice: Any, constrained: bool
) -> None:
    engine.script = "ok"
    create(client, tools=[ADD], tool_choice=choice)
    assert (engine.seen[-1].sampling.constraint is not None) is constrained


def test_one_call_at_a_time_when_asked(client: anthropic.Anthropic, engine: Any) -> None:
    engine.script = CALL + CALL
    assert len(create(client, tools=[ADD]).content) == 2
    choice: Any = {"type": "auto", "disable_parallel_tool_use": True}
    assert len(create(client, tools=[ADD], tool_choice=choice).content) == 1


def test_sampling_and_the_form_of_the_output_reach_the_engine(
    client: anthropic.Anthropic, engine: Any
) -> None:
    engine.script = "{}"
    schema = {"type": "object", "properties": {}}
    form: Any = {"format": {"type": "json_schema", "schema": schema}}
    create(client, extra_body={"temperature": 0.2, "top_p": 0.9, "top_k": 4}, output_config=form)
    sampling = engine.seen[-1].sampling
    assert (sampling.temperature, sampling.top_p, sampling.top_k) == (0.2, 0.9, 4)
    assert json.loads(sampling.constraint.text) == schema


def test_tokens_are_counted_as_the_model_would_read_them(client: anthropic.Anthropic, engine: Any) -> None:
    engine.script = "ok"
    counted = client.messages.count_tokens(model="tiny", messages=HELLO, system="Be brief", tools=[ADD])
    create(client, system="Be brief", tools=[ADD])
    assert counted.input_tokens == len(engine.seen[-1].prompt_token_ids)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"model": None}, "model: required"),
        ({"max_tokens": None}, "max_tokens: required"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "robot", "content": "a"}]}, "messages.0"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image", "source": {}}]}]},
            "messages.0.content.0",
        ),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 10_000}, "maximum context length"),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, "budget_tokens"),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 2000},
            "thinking.budget_tokens: this server cannot bound",
        ),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools.0"),
        ({"tool_choice": {"type": "any"}}, "tool_choice needs tools"),
        ({"stop_sequences": [""]}, "stop"),
        ({"surprise": 1}, "surprise: unknown field"),
    ],
)
def test_a_bad_request_is_named_in_the_form_of_this_api(
    server: Any, fields: dict[str, Any], field: str
) -> None:
    body = {"model": "tiny", "max_tokens": 4, "messages": HELLO, **fields}
    reply = httpx.post(server.url + "/v1/messages", json=body)
    assert reply.status_code == 400, reply.text
    error = reply.json()
    assert (error["type"], error["error"]["type"]) == ("error", "invalid_request_error")
    assert field in error["error"]["message"]


def test_every_other_error_has_that_form_too(start_server: Callable[..., Any]) -> None:
    url = start_server(api_key=("k", "l")).url
    refused = httpx.post(url + "/v1/messages", json={})
    assert (refused.status_code, refused.json()["error"]["type"]) == (401, "authentication_error")
    for header in ({"x-api-key": "l"}, {"authorization": "Bearer k"}):
        unknown = httpx.post(
            url + "/v1/messages", json={"model": "other", "max_tokens": 1, "messages": HELLO}, headers=header
        )
        assert (unknown.status_code, unknown.json()["error"]["type"]) == (404, "not_found_error")
        assert unknown.headers["x-request-id"] == unknown.json()["request_id"]
        assert (
            httpx.get(url + "/v1/messages", headers=header).json()["error"]["type"] == "invalid_request_error"
        )
    assert httpx.get(url + "/v1/models", headers={"x-api-key": "wrong"}).status_code == 401


def test_a_fault_of_the_engine_ends_a_stream_with_an_event(client: anthropic.Anthropic, engine: Any) -> None:
    engine.hold_after = 2
    with client.messages.stream(model="tiny", messages=HELLO, max_tokens=50) as stream:
        next(iter(stream))
        engine.fault = "it broke"
        engine.hold_after = None
        with pytest.raises(anthropic.APIStatusError, match="it broke"):
            stream.until_done()
