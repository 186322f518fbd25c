"""The tiny model calls tools and thinks, asked with the official clients, and with all that the document allows."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
from conformance import ask_all
from serving import ROOT, TINY_MODEL, Serve, failed_start

TOOLS: Any = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": about,
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}},
                "required": ["city"],
            },
        },
    }
    for name, about in (
        ("get_weather", "Get the weather in a city"),
        ("get_population", "Get the number of people in a city"),
    )
]
WEATHER: Any = [{"role": "user", "content": "What is the weather in Oslo?"}]
BOTH: Any = [{"role": "user", "content": "What is the weather in Berlin? How many people live in Madrid?"}]
CAPITAL: Any = [{"role": "user", "content": "What is the capital of France?"}]
SKY = json.dumps({"temperature": 7, "sky": "rainy"})
THINKING: Any = {"chat_template_kwargs": {"enable_thinking": True}}


@pytest.fixture(scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    flags = ["--served-model-name", "tiny", "--enable-auto-tool-choice", "--tool-call-parser", "hermes"]
    flags += [
        "--enable-tokenizer-info-endpoint",
        "--enable-server-load-tracking",
        "--reasoning-parser",
        "qwen3",
    ]
    environ = {"PADDOCK_SERVER_DEV_MODE": "1"}
    with Serve(tmp_path_factory.mktemp("serve") / "log", *flags, environ=environ) as serve:
        yield serve


@pytest.fixture
def client(serve: Serve) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=serve.url + "/v1", api_key="none", max_retries=0, timeout=120) as client:
        yield client


def ask(client: openai.OpenAI, messages: Any, **options: Any) -> Any:
    answer = client.chat.completions.create(
        model="tiny", messages=messages, temperature=0, max_tokens=96, **options
    )
    return answer.choices[0]


def streamed(client: openai.OpenAI, messages: Any, **options: Any) -> Any:
    """The first choice as the client itself joins it."""
    with client.chat.completions.stream(
        model="tiny", messages=messages, temperature=0, max_tokens=96, **options
    ) as stream:
        return stream.get_final_completion().choices[0]


def calls_of(choice: Any) -> list[tuple[str, Any]]:
    calls = choice.message.tool_calls or ()
    return [(call.function.name, json.loads(call.function.arguments)) for call in calls]


def test_the_model_calls_the_tool_that_serves(client: openai.OpenAI) -> None:
    for choice in (ask(client, WEATHER, tools=TOOLS), streamed(client, WEATHER, tools=TOOLS)):
        assert calls_of(choice) == [("get_weather", {"city": "Oslo"})]
        assert choice.finish_reason == "tool_calls"
        assert not choice.message.content


def test_the_model_calls_two_tools_at_once(client: openai.OpenAI) -> None:
    choice = streamed(client, BOTH, tools=TOOLS)
    assert calls_of(choice) == calls_of(ask(client, BOTH, tools=TOOLS))
    assert [name for name, _ in calls_of(choice)] == ["get_weather", "get_population"]
    assert len(calls_of(ask(client, BOTH, tools=TOOLS, parallel_tool_calls=False))) == 1


def test_a_question_that_needs_no_tool_is_answered(client: openai.OpenAI) -> None:
    choice = ask(client, CAPITAL, tools=TOOLS)
    assert (calls_of(choice), choice.finish_reason) == ([], "stop")
    assert "Paris" in choice.message.content


def test_a_streaming_loop_calls_and_then_reports_the_result(client: openai.OpenAI) -> None:
    messages = list(WEATHER)
    asked: list[str] = []
    while (choice := streamed(client, messages, tools=TOOLS)).finish_reason == "tool_calls":
        messages.append(choice.message.model_dump(exclude_none=True))
        for call in choice.message.tool_calls:
            asked.append(json.loads(call.function.arguments)["city"])
            messages.append({"role": "tool", "tool_call_id": call.id, "content": SKY})
        assert len(asked) < 4
    assert asked == ["Oslo"]
    assert choice.message.content.endswith("in Oslo, with 7 degrees.")


def test_the_loop_of_the_page_runs_as_it_stands_there(serve: Serve) -> None:
    page = (ROOT / "docs/api.md").read_text()
    loop = page.partition("An agent's loop")[2].partition("```python\n")[2].partition("```")[0]
    environ = {**os.environ, "OPENAI_BASE_URL": serve.url + "/v1"}
    done = subprocess.run(
        [sys.executable, "-c", loop], env=environ, check=True, capture_output=True, text=True, timeout=120
    )
    assert done.stdout.endswith("in Oslo, with 7 degrees.")


@pytest.mark.parametrize("answer", [ask, streamed])
def test_what_the_model_thinks_is_reasoning(client: openai.OpenAI, answer: Any) -> None:
    message = answer(client, CAPITAL, extra_body=THINKING).message
    assert message.reasoning_content == message.reasoning != ""
    assert "Paris" in message.content
    assert "think>" not in message.content + message.reasoning


def test_the_model_thinks_and_then_calls(client: openai.OpenAI) -> None:
    choice = ask(client, WEATHER, tools=TOOLS, extra_body=THINKING)
    assert "get_weather" in choice.message.reasoning
    assert [name for name, _ in calls_of(choice)] == ["get_weather"]


def test_without_thinking_there_is_no_reasoning(client: openai.OpenAI) -> None:
    message = ask(client, CAPITAL).message
    assert not hasattr(message, "reasoning")
    assert "Paris" in message.content


def test_the_responses_api_runs_the_same_loop_by_previous_response_id(client: openai.OpenAI) -> None:
    tools: Any = [{"type": "function", **tool["function"]} for tool in TOOLS]
    asked: dict[str, Any] = {"model": "tiny", "tools": tools, "temperature": 0, "max_output_tokens": 96}
    with client.responses.stream(input=WEATHER, **asked) as stream:
        first = stream.get_final_response()
    [call] = first.output
    assert call.type == "function_call"
    assert (call.name, json.loads(call.arguments)) == ("get_weather", {"city": "Oslo"})
    result: Any = {"type": "function_call_output", "call_id": call.call_id, "output": SKY}
    second = client.responses.create(input=[result], previous_response_id=first.id, **asked)
    assert second.output_text.endswith("in Oslo, with 7 degrees.")


def test_the_responses_api_shows_thinking_in_a_message_of_a_schema(client: openai.OpenAI) -> None:
    asked: dict[str, Any] = {"model": "tiny", "input": CAPITAL, "temperature": 0, "extra_body": THINKING}
    reasoning, message = client.responses.create(**asked).output
    assert (reasoning.type, message.type) == ("reasoning", "message")
    schema = {"type": "object", "properties": {"a": {"type": "boolean"}}, "required": ["a"]}
    form: Any = {"format": {"type": "json_schema", "name": "it", "schema": schema, "strict": True}}
    answer = client.responses.create(model="tiny", input=CAPITAL, text=form, max_output_tokens=96)
    assert isinstance(json.loads(answer.output_text)["a"], bool)


def test_anthropics_client_runs_the_same_loop(serve: Serve) -> None:
    tools: Any = [{**tool["function"], "input_schema": tool["function"]["parameters"]} for tool in TOOLS]
    for tool in tools:
        del tool["parameters"]
    asked: Any = {"model": "tiny", "tools": tools, "max_tokens": 96}
    with anthropic.Anthropic(base_url=serve.url, api_key="none", max_retries=0) as client:
        with client.messages.stream(messages=WEATHER, extra_body={"temperature": 0}, **asked) as stream:
            first = stream.get_final_message()
        [call] = first.content
        assert call.type == "tool_use"
        assert (call.name, call.input, first.stop_reason) == ("get_weather", {"city": "Oslo"}, "tool_use")
        result = {"type": "tool_result", "tool_use_id": call.id, "content": SKY}
        turns = [
            *WEATHER,
            {"role": "assistant", "content": first.content},
            {"role": "user", "content": [result]},
        ]
        second = client.messages.create(messages=turns, extra_body={"temperature": 0}, **asked)
        assert second.content[0].text.endswith("in Oslo, with 7 degrees.")  # type: ignore[union-attr]
        adaptive: Any = {"type": "adaptive"}
        thought = client.messages.create(model="tiny", max_tokens=96, messages=CAPITAL, thinking=adaptive)
        assert thought.content[0].type == "thinking"
        bounded: Any = {"type": "enabled", "budget_tokens": 1024}
        thought = client.messages.create(model="tiny", max_tokens=1100, messages=CAPITAL, thinking=bounded)
        assert [block.type for block in thought.content] == ["thinking", "text"]


@pytest.mark.parametrize(
    "examples", [2, pytest.param(100, marks=[pytest.mark.long, pytest.mark.timeout(3600)])]
)
def test_every_answer_is_one_that_the_document_tells_of(serve: Serve, examples: int) -> None:
    seen = ask_all(serve.url, examples)
    assert all(statuses <= {200, 400, 404} for statuses in seen.values())
    assert {"POST /v1/responses", "POST /v1/messages", "POST /v1/chat/completions"} <= seen.keys()
    assert serve.is_healthy()


PLUGIN = """
from paddock.server.tools import register_tool_parser
from paddock.server.tools.registry import tool_parser


@register_tool_parser("mine")
class Mine(tool_parser("hermes")):
    def new_call_id(self):
        return "mine-1"
"""


def test_deepseek_r1_and_a_plugin_read_the_same_model_under_a_template_that_always_thinks(
    tmp_path: Path,
) -> None:
    (tmp_path / "plugin.py").write_text(PLUGIN)
    template = (TINY_MODEL / "chat_template.jinja").read_text()
    path = tmp_path / "thinking.jinja"
    path.write_text(template.replace("('' if thinking else no_thoughts)", "'<think>\\n'"))
    flags = ["--served-model-name", "tiny", "--chat-template", str(path), "--reasoning-parser", "deepseek_r1"]
    flags += ["--enable-auto-tool-choice", "--tool-call-parser", "mine"]
    flags += ["--tool-parser-plugin", str(tmp_path / "plugin.py"), "--exclude-tools-when-tool-choice-none"]
    with Serve(tmp_path / "log", *flags) as serve:
        client = openai.OpenAI(base_url=serve.url + "/v1", api_key="none", max_retries=0, timeout=120)
        message = ask(client, CAPITAL).message
        assert message.reasoning
        assert "Paris" in message.content
        [call] = ask(client, WEATHER, tools=TOOLS).message.tool_calls
        assert (call.id, call.function.name) == ("mine-1", "get_weather")
        prompts = [
            client.chat.completions.create(
                model="tiny", messages=WEATHER, max_tokens=1, **options
            ).usage.prompt_tokens
            for options in ({}, {"tools": TOOLS, "tool_choice": "none"}, {"tools": TOOLS})
        ]
        assert prompts[0] == prompts[1] < prompts[2]


@pytest.mark.parametrize(
    ("flags", "names"),
    [
        (("--enable-auto-tool-choice", "--tool-call-parser", "none"), "hermes, internlm, jamba"),
        (("--reasoning-parser", "none"), "deepseek_r1, glm45"),
    ],
)
def test_an_unknown_parser_keeps_the_server_from_starting(flags: tuple[str, ...], names: str) -> None:
    ended = failed_start(str(TINY_MODEL), *flags)
    assert ended.returncode != 0
    assert names in ended.stdout + ended.stderr
    assert "Traceback" not in ended.stdout + ended.stderr
