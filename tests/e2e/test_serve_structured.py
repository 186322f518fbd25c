"""A served model's outputs have the form that was asked for: the official client is the judge."""

import json
import re
from collections.abc import Iterator
from typing import Any

import jsonschema
import openai
import pytest
from pydantic import BaseModel
from serving import Serve

HELLO: Any = [{"role": "user", "content": "What is the capital of France?"}]
SCHEMA: Any = {
    "type": "object",
    "properties": {"city": {"enum": ["Paris", "Oslo"]}, "size": {"type": "integer", "minimum": 1, "maximum": 99}},
    "required": ["city", "size"],
    "additionalProperties": False,
}  # fmt: skip
ADD: Any = {
    "type": "function",
    "function": {
        "name": "add",
        "parameters": {
            "type": "object",
            "properties": {"a": {"$ref": "#/$defs/digit"}, "b": {"$ref": "#/$defs/digit"}},
            "required": ["a", "b"],
            "$defs": {"digit": {"type": "integer", "minimum": 0, "maximum": 9}},
        },
    },
}
STOP: Any = {"type": "function", "function": {"name": "stop"}}


class Place(BaseModel):
    city: str
    is_capital: bool


@pytest.fixture(scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    flags = ["--served-model-name", "tiny", "--reasoning-parser", "qwen3"]
    tight = ["--structured-outputs-config.disable_any_whitespace", "true"]
    with Serve(tmp_path_factory.mktemp("serve") / "log", *flags, *tight) as serve:
        yield serve


@pytest.fixture
def client(serve: Serve) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=serve.url + "/v1", api_key="none", max_retries=0, timeout=120) as client:
        yield client


def ask(client: openai.OpenAI, **options: Any) -> Any:
    options = {"temperature": 1, "seed": 3, "max_tokens": 120, **options}
    return client.chat.completions.create(model="tiny", messages=HELLO, **options)


def test_a_schema_is_kept_whole_streamed_and_by_every_choice(client: openai.OpenAI) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "place", "schema": SCHEMA, "strict": True}}
    choices = ask(client, response_format=form, n=3).choices
    stream = ask(client, response_format=form, stream=True)
    streamed = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
    assert [choice.finish_reason for choice in choices] == ["stop"] * 3
    for text in (*(choice.message.content for choice in choices), streamed):
        jsonschema.validate(json.loads(text), SCHEMA)
        assert not re.search(r"\s", text)


def test_the_clients_own_parsing_gets_its_model(client: openai.OpenAI) -> None:
    parsed = client.chat.completions.parse(
        model="tiny", messages=HELLO, response_format=Place, temperature=0, max_tokens=200, seed=1,
    )  # fmt: skip
    assert isinstance(parsed.choices[0].message.parsed, Place)


@pytest.mark.parametrize(
    ("extra", "pattern"),
    [
        ({"structured_outputs": {"regex": "[a-z]{3}-[0-9]{2}"}}, "[a-z]{3}-[0-9]{2}"),
        ({"structured_outputs": {"choice": ["yes", "no"]}}, "yes|no"),
        ({"structured_outputs": {"grammar": 'root ::= "x" | "y" root'}}, "y*x"),
        ({"guided_regex": "[0-9]{4}"}, "[0-9]{4}"),
        ({"guided_choice": ["red"]}, "red"),
        ({"guided_json": {"type": "boolean"}}, "true|false"),
    ],
)
def test_other_forms_hold_in_both_apis(client: openai.OpenAI, extra: Any, pattern: str) -> None:
    chat = ask(client, extra_body=extra).choices[0]
    bare = client.completions.create(model="tiny", prompt="Say", max_tokens=60, extra_body=extra).choices[0]
    assert re.fullmatch(pattern, chat.message.content)
    assert re.fullmatch(pattern, bare.text)


def test_an_answer_is_constrained_after_the_thinking(client: openai.OpenAI) -> None:
    extra = {"structured_outputs": {"choice": ["Paris"]}, "chat_template_kwargs": {"enable_thinking": True}}
    choice = ask(client, extra_body=extra, max_tokens=400, temperature=0).choices[0]
    assert (choice.message.content, choice.finish_reason) == ("Paris", "stop")


def test_a_call_that_is_demanded_is_made(client: openai.OpenAI) -> None:
    for choice in ("required", {"type": "function", "function": {"name": "add"}}):
        answer = ask(client, tools=[ADD], tool_choice=choice, parallel_tool_calls=False).choices[0]
        [call] = answer.message.tool_calls
        assert call.function.name == "add"
        jsonschema.validate(json.loads(call.function.arguments), ADD["function"]["parameters"])
        assert answer.message.content is None


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"extra_body": {"structured_outputs": {"json": {"type": "array", "uniqueItems": True}}}}, "uniqueItems"),
        ({"extra_body": {"structured_outputs": {"regex": "[a-"}}}, "regex"),
        ({"extra_body": {"structured_outputs": {"regex": "a", "choice": ["b"]}}}, "exactly one"),
        ({"extra_body": {"guided_decoding_backend": "outlines"}}, "structured-outputs-config"),
        ({"response_format": {"type": "json_schema"}}, "json_schema"),
        ({"response_format": {"type": "json_object"}, "extra_body": {"ignore_eos": True}}, "ignore_eos"),
        ({"response_format": {"type": "json_object"}, "tools": [STOP], "tool_choice": "required"}, "tool_choice"),
    ],
)  # fmt: skip
def test_what_cannot_be_kept_is_a_400_that_says_what(client: openai.OpenAI, options: Any, word: str) -> None:
    with pytest.raises(openai.BadRequestError, match=word):
        ask(client, **options)
