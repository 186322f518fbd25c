"""Tools over HTTP: what templates see, what clients get, what is refused."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

CHAT = "/v1/chat/completions"
HELLO: Any = [{"role": "user", "content": "Hi"}]
TEMPLATE = (
    "{% for tool in tools or [] %}[{{ tool | tojson }}]{% endfor %}"
    "{% for message in messages %}{{ message.role }}:{{ message.content }};{% endfor %}"
)
ADD: Any = {
    "type": "function",
    "function": {"name": "add", "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}}},
}
CALL = '<tool_call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call>'
FLAGS: dict[str, Any] = {
    "chat_template": TEMPLATE,
    "enable_auto_tool_choice": True,
    "tool_call_parser": "hermes",
}


@pytest.fixture
def server(start_server: Callable[..., Any]) -> Any:
    return start_server(**FLAGS)


@pytest.fixture
def client(server: Any) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0) as client:
        yield client


def test_a_whole_answer_has_the_calls_and_no_content(client: openai.OpenAI, engine: Any) -> None:
    engine.script = f"{CALL}\n{CALL.replace('1', '2')}"
    choice = client.chat.completions.create(model="tiny", messages=HELLO, tools=[ADD]).choices[0]
    assert (choice.finish_reason, choice.message.content) == ("tool_calls", None)
    assert choice.message.tool_calls is not None
    functions: list[Any] = [call.function for call in choice.message.tool_calls]  # type: ignore[union-attr]
    assert [(one.name, json.loads(one.arguments)) for one in functions] == [
        ("add", {"a": 1}),
        ("add", {"a": 2}),
    ]
    assert len({call.id for call in choice.message.tool_calls}) == 2


def test_a_stream_tells_id_and_name_once_and_then_the_arguments(server: Any, engine: Any) -> None:
    engine.script = f"Sure. {CALL}"
    body = {"messages": HELLO, "tools": [ADD], "stream": True}
    lines = httpx.post(server.url + CHAT, json=body).text.splitlines()
    chunks = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
    choices = [chunk["choices"][0] for chunk in chunks]
    calls = [call for choice in choices for call in choice["delta"].get("tool_calls", [])]
    assert calls[0] == {
        "index": 0, "id": calls[0]["id"], "type": "function", "function": {"name": "add", "arguments": ""},
    }  # fmt: skip
    assert all(set(call) == {"index", "function"} for call in calls[1:])
    assert all(set(call["function"]) == {"arguments"} for call in calls[1:])
    assert json.loads("".join(call["function"]["arguments"] for call in calls)) == {"a": 1}
    assert "".join(choice["delta"].get("content", "") for choice in choices) == "Sure."
    assert (choices[-1]["delta"], choices[-1]["finish_reason"]) == ({}, "tool_calls")


@pytest.mark.parametrize("tokens_per_step", [1, 3, 100])
def test_the_clients_own_accumulator_gets_what_a_whole_answer_has(
    client: openai.OpenAI, engine: Any, tokens_per_step: int
) -> None:
    engine.script = "Ok.\n" + 2 * '<tool_call>{"name":"add","arguments":{"a":1}}'
    engine.tokens_per_step = tokens_per_step
    whole = client.chat.completions.create(model="tiny", messages=HELLO, tools=[ADD]).choices[0]
    with client.chat.completions.stream(model="tiny", messages=HELLO, tools=[ADD]) as stream:
        streamed = stream.get_final_completion().choices[0]
    assert streamed.message.content == whole.message.content == "Ok."
    assert [call.function.arguments for call in streamed.message.tool_calls or ()] == ['{"a": 1}'] * 2
    assert streamed.finish_reason == whole.finish_reason == "tool_calls"


def test_each_choice_is_parsed_by_itself(client: openai.OpenAI, engine: Any) -> None:
    engine.script = CALL
    stream = client.chat.completions.create(model="tiny", messages=HELLO, tools=[ADD], n=3, stream=True)
    arguments = {0: "", 1: "", 2: ""}
    for chunk in stream:
        for call in chunk.choices[0].delta.tool_calls or ():
            assert call.function is not None
            arguments[chunk.choices[0].index] += call.function.arguments or ""
    assert list(arguments.values()) == ['{"a": 1}'] * 3


def test_a_call_cut_by_the_length_stays_length(client: openai.OpenAI, engine: Any) -> None:
    engine.script = CALL
    whole = client.chat.completions.create(
        model="tiny", messages=HELLO, tools=[ADD], max_tokens=len(CALL) - 20
    )
    assert whole.choices[0].finish_reason == "length"


def test_parallel_tool_calls_false_leaves_one_call(client: openai.OpenAI, engine: Any) -> None:
    engine.script = f"{CALL}{CALL}"
    answer = client.chat.completions.create(
        model="tiny", messages=HELLO, tools=[ADD], parallel_tool_calls=False
    )
    assert len(answer.choices[0].message.tool_calls or ()) == 1


def test_an_answer_without_a_call_is_that_of_a_request_without_tools(
    client: openai.OpenAI, engine: Any
) -> None:
    engine.script = "No tool is needed. "
    with_tools = client.chat.completions.create(model="tiny", messages=HELLO, tools=[ADD]).choices[0]
    without = client.chat.completions.create(model="tiny", messages=HELLO).choices[0]
    assert with_tools.message.content == without.message.content == "No tool is needed. "
    assert with_tools.finish_reason == without.finish_reason == "stop"


def test_token_ids_and_logprobs_come_once_for_each_token(server: Any, engine: Any) -> None:
    engine.script = CALL
    body = {
        "messages": HELLO, "tools": [ADD], "stream": True, "return_token_ids": True, "logprobs": True,
    }  # fmt: skip
    lines = httpx.post(server.url + CHAT, json=body).text.splitlines()
    choices = [json.loads(line[6:])["choices"][0] for line in lines if line.startswith("data: {")]
    token_ids = [token_id for choice in choices for token_id in choice.get("token_ids", [])]
    logprobs = [entry for choice in choices for entry in (choice.get("logprobs") or {}).get("content", [])]
    assert len(token_ids) == len(logprobs) == len(engine._answer(engine.seen[0]))


def test_the_template_sees_the_tools_as_they_were_sent(client: openai.OpenAI, engine: Any) -> None:
    engine.script = "ok"
    client.chat.completions.create(model="tiny", messages=HELLO, tools=[ADD])
    assert json.loads(re.findall(r"^\[(.*)\]user:Hi", engine.last_prompt())[0]) == ADD


@pytest.mark.parametrize("excluded", [False, True])
def test_tool_choice_none_parses_nothing_and_hides_the_tools_when_told(
    start_server: Callable[..., Any], engine: Any, excluded: bool
) -> None:
    engine.script = CALL
    url = start_server(**FLAGS, exclude_tools_when_tool_choice_none=excluded).url
    body = {"messages": HELLO, "tools": [ADD], "tool_choice": "none"}
    choice = httpx.post(url + CHAT, json=body).json()["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == (CALL, "stop")
    assert "tool_calls" not in choice["message"]
    assert engine.last_prompt().startswith("user:Hi" if excluded else "[{")


def test_tools_need_the_flags_unless_the_model_may_not_call(
    start_server: Callable[..., Any], engine: Any
) -> None:
    engine.script = "ok"
    for flags in ({}, {"tool_call_parser": "hermes"}):
        url = start_server(chat_template=TEMPLATE, **flags).url
        refused = httpx.post(url + CHAT, json={"messages": HELLO, "tools": [ADD]})
        assert refused.status_code == 400
        assert "--enable-auto-tool-choice" in refused.json()["error"]["message"]
        body = {"messages": HELLO, "tools": [ADD], "tool_choice": "none"}
        assert httpx.post(url + CHAT, json=body).status_code == 200


def test_a_template_that_shows_no_tools_refuses_them(start_server: Callable[..., Any]) -> None:
    url = start_server(enable_auto_tool_choice=True, tool_call_parser="hermes").url
    refused = httpx.post(url + CHAT, json={"messages": HELLO, "tools": [ADD]})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "tools")


def test_a_models_own_template_for_tools_serves_prompts_with_tools(
    start_server: Callable[..., Any], engine: Any, byte_level_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "tokenizer.json").write_bytes((byte_level_folder / "tokenizer.json").read_bytes())
    named = [
        {"name": "default", "template": "plain"},
        {"name": "tool_use", "template": "{{ tools | length }} tools"},
    ]
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": named}))
    url = start_server(folder=tmp_path, enable_auto_tool_choice=True, tool_call_parser="hermes").url
    for fields, prompt in (({}, "plain"), ({"tools": [ADD, ADD]}, "2 tools")):
        assert httpx.post(url + CHAT, json={"messages": HELLO, **fields, "max_tokens": 1}).status_code == 200
        assert engine.last_prompt() == prompt


NAMED = {"type": "function", "function": {"name": "add"}}
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"tools": []}, "tools"),
    ({"tools": [{}]}, "tools.0.type"),
    ({"tools": [{"type": "function", "function": {"name": "no spaces"}}]}, "tools.0.function.name"),
    ({"tools": [ADD, {**ADD, "function": {"name": "add"}}]}, "tools"),
    ({"tools": [ADD] * 513}, "tools"),
    ({"tool_choice": "required"}, "tool_choice"),
    ({"tool_choice": NAMED}, "tool_choice"),
    (
        {"tool_choice": "required", "tools": [ADD], "response_format": {"type": "json_object"}},
        "tool_choice",
    ),
    ({"tool_choice": "required", "tools": [ADD], "ignore_eos": True}, "ignore_eos"),
    ({"tool_choice": {**NAMED, "function": {"name": "other"}}, "tools": [ADD]}, "tool_choice"),
    ({"tool_choice": "any", "tools": [ADD]}, "tool_choice"),
    ({"parallel_tool_calls": 1}, "parallel_tool_calls"),
    ({"include_reasoning": "no"}, "include_reasoning"),
]


@pytest.mark.parametrize(("fields", "param"), REFUSED)
def test_wrong_tool_fields_are_refused_by_name(server: Any, fields: dict[str, Any], param: str) -> None:
    refused = httpx.post(server.url + CHAT, json={"messages": HELLO, **fields})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, param), refused.text


def test_tokenize_counts_the_tools_as_a_chat_does(server: Any, engine: Any) -> None:
    engine.script = "ok"
    body = {"messages": HELLO, "tools": [ADD]}
    tokens = httpx.post(server.url + "/tokenize", json=body).json()["tokens"]
    httpx.post(server.url + CHAT, json=body)
    assert tokens == engine.seen[-1].prompt_token_ids


def test_marks_that_are_special_tokens_reach_the_parser(
    start_server: Callable[..., Any], engine: Any, byte_level_folder: Path, tmp_path: Path
) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((byte_level_folder / name).read_bytes())
    document = json.loads((tmp_path / "tokenizer.json").read_text())
    taken = {token["id"] for token in document["added_tokens"]} | set(document["model"]["vocab"].values())
    mark = {**document["added_tokens"][0], "id": max(taken) + 1, "content": "[TOOL_CALLS]", "special": True}
    document["added_tokens"].append(mark)
    (tmp_path / "tokenizer.json").write_text(json.dumps(document))
    engine.script = [mark["id"], *engine._tokenizer.encode('add[ARGS]{"a": 1}', False)]
    url = start_server(folder=tmp_path, **{**FLAGS, "tool_call_parser": "mistral"}).url
    message = httpx.post(url + CHAT, json={"messages": HELLO, "tools": [ADD]}).json()["choices"][0]["message"]
    [call] = message["tool_calls"]
    assert (call["function"]["name"], len(call["id"])) == ("add", 9)
    plain = httpx.post(url + CHAT, json={"messages": HELLO}).json()["choices"][0]["message"]
    assert plain["content"] == 'add[ARGS]{"a": 1}'
