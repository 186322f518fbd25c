"""Reasoning over HTTP: its two fields, when it is left out, and how its tokens are counted."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

CHAT = "/v1/chat/completions"
HELLO: Any = [{"role": "user", "content": "Hi"}]
TEMPLATE = (
    "{% for m in messages %}{{ m.reasoning_content }}|{{ m.content }};{% endfor %}"
    "{% if add_generation_prompt %}{{ 'A:<think></think>' if enable_thinking is false else 'A:' }}{% endif %}"
)
SCRIPT = "<think>\nHm, 4.\n</think>\n\nIt is 4."


@pytest.fixture
def url(start_server: Callable[..., Any], engine: Any) -> str:
    engine.script = SCRIPT
    url: str = start_server(chat_template=TEMPLATE, reasoning_parser="qwen3").url
    return url


def ask(url: str, **fields: Any) -> Any:
    response = httpx.post(url + CHAT, json={"messages": HELLO, **fields})
    assert response.status_code == 200, response.text
    return response.json()


def stream(url: str, **fields: Any) -> list[Any]:
    body = {"messages": HELLO, "stream": True, "stream_options": {"include_usage": True}, **fields}
    lines = httpx.post(url + CHAT, json=body).text.splitlines()
    return [json.loads(line[6:]) for line in lines if line.startswith("data: {")]


def test_reasoning_has_both_names_and_is_no_content(url: str) -> None:
    message = ask(url)["choices"][0]["message"]
    assert message["reasoning"] == message["reasoning_content"] == "Hm, 4."
    assert message["content"] == "It is 4."


def test_a_stream_joins_to_the_same(url: str) -> None:
    deltas = [chunk["choices"][0]["delta"] for chunk in stream(url) if chunk["choices"]]
    for name, text in (
        ("reasoning", "Hm, 4."),
        ("reasoning_content", "Hm, 4."),
        ("content", "It is 4."),
    ):
        assert "".join(delta.get(name, "") for delta in deltas) == text


def test_include_reasoning_false_leaves_it_out(url: str) -> None:
    message = ask(url, include_reasoning=False)["choices"][0]["message"]
    assert (message["content"], "reasoning" in message) == ("It is 4.", False)
    deltas = [chunk["choices"][0]["delta"] for chunk in stream(url, include_reasoning=False)[:-1]]
    assert not any("reasoning" in delta or "reasoning_content" in delta for delta in deltas)
    assert "".join(delta.get("content", "") for delta in deltas) == "It is 4."


def test_reasoning_tokens_are_those_up_to_its_end(url: str, engine: Any, tokenizer: Any) -> None:
    engine.tokens_per_step = 3
    usage = ask(url)["usage"]
    thought = SCRIPT.partition("\n\n")[0]
    offsets, total = [], 0
    for token_id in tokenizer.encode(SCRIPT, False):
        offsets.append(total)
        total += len(tokenizer.token_bytes(token_id))
    expected = sum(offset < len(thought) for offset in offsets)
    assert usage["completion_tokens_details"] == {"reasoning_tokens": expected}
    assert stream(url)[-1]["usage"] == usage


def test_a_thinking_answer_cut_by_the_length_is_all_reasoning(url: str) -> None:
    reply = ask(url, max_tokens=8)
    assert reply["choices"][0]["finish_reason"] == "length"
    assert reply["choices"][0]["message"]["content"] == ""
    assert reply["usage"]["completion_tokens_details"]["reasoning_tokens"] == 8


def test_thinking_turned_off_by_the_template_leaves_the_answer_alone(url: str, engine: Any) -> None:
    engine.script = "4, I <think>."
    reply = ask(url, chat_template_kwargs={"enable_thinking": False})
    message = reply["choices"][0]["message"]
    assert (message["content"], "reasoning" in message) == ("4, I <think>.", False)
    assert reply["usage"]["completion_tokens_details"]["reasoning_tokens"] == 0


def test_a_continued_message_goes_on_with_the_answer(start_server: Callable[..., Any], engine: Any) -> None:
    engine.script = "is 4."
    url = start_server(chat_template=TEMPLATE, reasoning_parser="deepseek_r1").url
    messages = [*HELLO, {"role": "assistant", "content": "It "}]
    message = ask(url, messages=messages, continue_final_message=True)["choices"][0]["message"]
    assert (message["content"], "reasoning" in message) == ("is 4.", False)


def test_reasoning_sent_back_reaches_the_template(url: str, engine: Any, tokenizer: Any) -> None:
    past = {"role": "assistant", "content": "Yes.", "reasoning": "So.", "reasoning_content": "So."}
    ask(url, messages=[*HELLO, past, *HELLO])
    assert "So.|Yes.;" in tokenizer.decode(engine.seen[-1].prompt_token_ids, False)
