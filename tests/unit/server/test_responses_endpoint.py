"""/v1/responses with the official client: what models see, what clients get, in whole and in events."""

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import openai
import pytest
from openai.types.responses import Response
from thinking_caller import CALL, FLAGS, THOUGHT

ADD: Any = {
    "type": "function",
    "name": "add",
    "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}},
    "strict": False,
}


@pytest.fixture(scope="module")
def server(start_shared: Callable[..., Any]) -> Any:
    return start_shared(**FLAGS)


@pytest.fixture
def engine(shared_engine: Any) -> Any:
    return shared_engine


@pytest.fixture(scope="module")
def client(server: Any) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0) as client:
        yield client


def strictly(response: Any) -> Response:
    """The client builds what it gets unchecked; this checks it."""
    return Response.model_validate(response.model_dump(warnings=False))


def test_a_text_is_answered_with_a_message_and_usage(client: openai.OpenAI, engine: Any) -> None:
    engine.script = "Hello there."
    response = strictly(client.responses.create(model="tiny", input="Hi", metadata={"a": "b"}))
    assert (response.output_text, response.status, response.error) == ("Hello there.", "completed", None)
    assert [item.type for item in response.output] == ["message"]
    assert response.usage is not None
    assert response.usage.total_tokens == response.usage.input_tokens + response.usage.output_tokens
    assert response.usage.input_tokens_details.cached_tokens == 3
    assert (response.metadata, response.model, response.temperature) == ({"a": "b"}, "tiny", 0.5)


def test_thinking_text_and_calls_are_items_in_their_order(client: openai.OpenAI, engine: Any) -> None:
    engine.script = THOUGHT
    response = strictly(client.responses.create(model="tiny", input="Hi", tools=[ADD]))
    reasoning, message, call = response.output
    assert reasoning.type == "reasoning"
    assert reasoning.content is not None
    assert [part.text for part in reasoning.content] == ["Let me see."]
    assert (message.type, response.output_text) == ("message", "Sure.")
    assert call.type == "function_call"
    assert (call.name, json.loads(call.arguments), call.status) == ("add", {"a": 1}, "completed")
    assert response.usage is not None
    assert response.usage.output_tokens_details.reasoning_tokens > 0


@pytest.mark.parametrize("tokens_per_step", [1, 7, 100])
def test_the_clients_own_accumulator_gets_what_a_whole_response_has(
    client: openai.OpenAI, engine: Any, tokens_per_step: int
) -> None:
    engine.script = THOUGHT
    engine.tokens_per_step = tokens_per_step
    whole = client.responses.create(model="tiny", input="Hi", tools=[ADD])
    with client.responses.stream(model="tiny", input="Hi", tools=[ADD]) as stream:
        numbers = [event.sequence_number for event in stream]
        streamed = stream.get_final_response()
    assert numbers == list(range(len(numbers)))
    assert streamed.output_text == whole.output_text
    assert [item.type for item in streamed.output] == [item.type for item in whole.output]
    assert streamed.output[2].arguments == whole.output[2].arguments  # type: ignore[union-attr]
    assert streamed.usage == whole.usage


def test_events_open_and_close_each_item_once_and_in_order(client: openai.OpenAI, engine: Any) -> None:
    engine.script = THOUGHT
    engine.tokens_per_step = 100
    events = [
        event.type for event in client.responses.create(model="tiny", input="Hi", tools=[ADD], stream=True)
    ]
    assert [name.removeprefix("response.") for name in events] == [
        "created", "in_progress",
        "output_item.added", "content_part.added", "reasoning_text.delta", "reasoning_text.done",
        "content_part.done", "output_item.done",
        "output_item.added", "content_part.added", "output_text.delta", "output_text.done",
        "content_part.done", "output_item.done",
        "output_item.added", "function_call_arguments.delta", "function_call_arguments.done", "output_item.done",
        "completed",
    ]  # fmt: skip


def test_the_asynchronous_client_streams_too(server: Any, engine: Any) -> None:
    engine.script = "One two three."

    async def ask() -> str:
        async with openai.AsyncOpenAI(base_url=server.url + "/v1", api_key="none") as client:
            stream = await client.responses.create(model="tiny", input="Hi", stream=True)
            return "".join(
                [event.delta async for event in stream if event.type == "response.output_text.delta"]
            )

    assert asyncio.run(ask()) == "One two three."


def test_a_response_cut_off_by_the_length_is_incomplete(client: openai.OpenAI, engine: Any) -> None:
    engine.script = CALL
    for make in (create, streamed):
        response = strictly(make(client, input="Hi", tools=[ADD], max_output_tokens=20))
        assert response.status == "incomplete"
        assert response.incomplete_details is not None
        assert response.incomplete_details.reason == "max_output_tokens"
        assert [item.status for item in response.output] == ["incomplete"]  # type: ignore[union-attr]


def create(client: openai.OpenAI, **request: Any) -> Any:
    return client.responses.create(model="tiny", **request)


def streamed(client: openai.OpenAI, **request: Any) -> Any:
    return list(client.responses.create(model="tiny", stream=True, **request))[-1].response  # type: ignore[union-attr]


def test_the_template_sees_items_as_messages(client: openai.OpenAI, engine: Any) -> None:
    items: Any = [
        {
            "role": "user",
            "content": [{"type": "input_text", "text": "One"}, {"type": "input_text", "text": "two"}],
        },
        {
            "type": "reasoning",
            "id": "rs_1",
            "summary": [],
            "content": [{"type": "reasoning_text", "text": "Hm"}],
        },
        {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "Ok", "annotations": []}],
        },
        {"type": "function_call", "call_id": "c1", "name": "add", "arguments": '{"a": 1}'},
        {"type": "function_call", "call_id": "c2", "name": "add", "arguments": '{"a": 2}'},
        {"type": "function_call_output", "call_id": "c1", "output": "1"},
        {"type": "function_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "2"}]},
        {"role": "assistant", "content": "Three"},
        {"role": "developer", "content": "More"},
    ]
    engine.script = "ok"
    client.responses.create(model="tiny", input=items, instructions="Be brief", tools=[ADD])
    assert engine.last_prompt() == (
        '[add]system:Be brief;user:One\ntwo;assistant:(Hm)Ok<add {"a": 1}><add {"a": 2}>;tool:1;tool:2;'
        "assistant:Three;developer:More;"
    )


def test_the_output_of_one_request_is_input_of_the_next(client: openai.OpenAI, engine: Any) -> None:
    engine.script = THOUGHT
    items: list[Any] = [{"role": "user", "content": "Hi"}]
    response = client.responses.create(model="tiny", input=items, tools=[ADD])
    items += [item.model_dump() for item in response.output]
    items.append({"type": "function_call_output", "call_id": response.output[2].call_id, "output": "2"})  # type: ignore[union-attr]
    client.responses.create(model="tiny", input=items, tools=[ADD])
    assert engine.last_prompt() == '[add]user:Hi;assistant:(Let me see.)Sure.<add {"a": 1}>;tool:2;'


@pytest.mark.parametrize("tokens_per_step", [1, 4])
def test_logprobs_come_with_the_tokens_of_the_text(
    client: openai.OpenAI, engine: Any, tokens_per_step: int
) -> None:
    engine.script = "<think>No</think>Yes it is."
    engine.tokens_per_step = tokens_per_step
    asked: Any = {"input": "Hi", "include": ["message.output_text.logprobs"], "top_logprobs": 2}
    for make in (create, streamed):
        [_, message] = make(client, **asked).output
        logprobs = message.content[0].logprobs
        assert "".join(entry.token for entry in logprobs) == "Yes it is."
        assert [len(entry.top_logprobs) for entry in logprobs] == [2] * len(logprobs)


def test_a_schema_constrains_the_text(client: openai.OpenAI, engine: Any) -> None:
    engine.script = '{"a": 1}'
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    form: Any = {"format": {"type": "json_schema", "name": "it", "schema": schema, "strict": True}}
    response = client.responses.create(model="tiny", input="Hi", text=form)
    assert json.loads(engine.seen[-1].sampling.constraint.text) == schema
    assert response.text is not None
    assert response.text.format.model_dump(by_alias=True)["schema"] == schema  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("choice", "shown", "constrained"),
    [
        ("none", "[add][sub]user", False),
        ("auto", "[add][sub]user", False),
        ("required", "[add][sub]user", True),
        ({"type": "function", "name": "add"}, "[add][sub]user", True),
        (
            {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "sub"}]},
            "[sub]user",
            False,
        ),
    ],
)
def test_tool_choice_says_what_may_be_called(
    client: openai.OpenAI, engine: Any, choice: Any, shown: str, constrained: bool
) -> None:
    engine.script = "ok"
    client.responses.create(model="tiny", input="Hi", tools=[ADD, {**ADD, "name": "sub"}], tool_choice=choice)
    assert engine.last_prompt().startswith(shown)
    assert (engine.seen[-1].sampling.constraint is not None) is constrained


def test_sampling_fields_reach_the_engine(client: openai.OpenAI, engine: Any) -> None:
    engine.script = "ok"
    extra = {"top_k": 5, "seed": 7, "logit_bias": {"3": -1}, "stop_token_ids": [4], "cache_salt": "x"}
    client.responses.create(model="tiny", input="Hi", temperature=0.1, top_p=0.9, extra_body=extra)
    sampling = engine.seen[-1].sampling
    assert (sampling.temperature, sampling.top_p, sampling.top_k, sampling.seed) == (0.1, 0.9, 5, 7)
    assert (sampling.logit_bias, sampling.stop_token_ids) == ({3: -1.0}, (4,))
    assert engine.seen[-1].cache_salt == "x"


def test_truncation_auto_leaves_out_the_oldest_turns(client: openai.OpenAI, engine: Any) -> None:
    turns: Any = [
        {"role": role, "content": f"{number} {'fox ' * 10}"}
        for number in range(20)
        for role in ("user", "assistant")
    ]
    asked = [*turns, {"role": "user", "content": "Last"}]
    with pytest.raises(openai.BadRequestError, match="maximum context length") as refused:
        client.responses.create(model="tiny", input=asked, max_output_tokens=8)
    assert refused.value.param == "input"
    client.responses.create(
        model="tiny", input=asked, max_output_tokens=8, truncation="auto", instructions="Be"
    )
    prompt = engine.last_prompt()
    assert prompt.startswith("system:Be;user:1")
    assert prompt.endswith("user:Last;")
    assert len(engine.seen[-1].prompt_token_ids) <= 256 - 8


def test_input_tokens_are_those_of_the_prompt(client: openai.OpenAI, engine: Any) -> None:
    engine.script = "ok"
    counted = client.responses.input_tokens.count(
        model="tiny", input="Hi", instructions="Be brief", tools=[ADD]
    )
    client.responses.create(model="tiny", input="Hi", instructions="Be brief", tools=[ADD])
    assert counted.input_tokens == len(engine.seen[-1].prompt_token_ids)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": [{"role": "user"}]}, "input.0.content"),
        ({"input": [{"role": "robot", "content": "a"}]}, "input.0.role"),
        ({"input": [{"type": "item_reference", "id": "a"}]}, "input.0"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]},
            "input.0.content.0",
        ),
        (
            {"input": [{"type": "function_call", "call_id": "c", "name": "f", "arguments": "{"}]},
            "input.0.tool_calls",
        ),
        ({"tools": [{"type": "web_search"}]}, "tools.0.type"),
        ({"tools": [ADD], "tool_choice": {"type": "function", "name": "sub"}}, "tool_choice"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"text": {"format": {"type": "json_schema"}}}, "text.format"),
        ({"reasoning": {"effort": "low"}}, "reasoning.effort"),
        ({"reasoning": {"summary": "auto"}}, "reasoning.summary"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"include": ["file_search_call.results"]}, "include.0"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"temperature": 3}, "temperature"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt"),
        ({"metadata": {str(number): "a" for number in range(17)}}, "metadata"),
        ({"background": True, "store": False}, "background"),
        ({"previous_response_id": "resp_1"}, "response_id"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_a_bad_request_names_its_field(server: Any, fields: dict[str, Any], param: str) -> None:
    reply = httpx.post(server.url + "/v1/responses", json={"input": "Hi", "max_output_tokens": 4, **fields})
    assert reply.status_code == (404 if param == "response_id" else 400), reply.text
    assert str(reply.json()["error"]["param"]).startswith(param), reply.text


def test_a_fault_of_the_engine_ends_a_stream_with_an_event(client: openai.OpenAI, engine: Any) -> None:
    engine.hold_after = 2
    stream = iter(client.responses.create(model="tiny", input="Hi", stream=True))
    seen = [next(stream).type for _ in range(5)]
    engine.fault = "it broke"
    engine.hold_after = None
    assert seen[0] == "response.created"
    last = list(stream)[-1]
    assert last.type == "response.failed"
    assert last.response.error is not None
    assert "it broke" in last.response.error.message
