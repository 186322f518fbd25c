"""Templates that requests bring, and the two shapes in which templates read content."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from paddock.server.chat.template import ChatTemplate

CHAT = "/v1/chat/completions"
HELLO: Any = [{"role": "user", "content": "hi"}]
PARTS: Any = [{"role": "user", "content": [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]}]
SHOUT = "{% for m in messages %}{{ m.content | upper }}!{{ mood }}{% endfor %}"


def test_a_template_in_a_request_is_refused_by_default(http: httpx.Client, engine: Any) -> None:
    reply = http.post(CHAT, json={"messages": HELLO, "chat_template": SHOUT})
    assert reply.status_code == 400
    error = reply.json()["error"]
    assert error["param"] == "chat_template"
    assert "--trust-request-chat-template" in error["message"]
    assert not engine.seen


def test_a_trusted_request_brings_its_own_template_and_variables(
    start_server: Callable[..., Any], engine: Any, tokenizer: Any
) -> None:
    url = start_server(trust_request_chat_template=True).url
    body = {"messages": HELLO, "chat_template": SHOUT, "chat_template_kwargs": {"mood": "?"}, "max_tokens": 1}
    for _ in range(2):
        assert httpx.post(url + CHAT, json=body).status_code == 200
    httpx.post(url + CHAT, json={"messages": HELLO, "max_tokens": 1})
    prompts = [tokenizer.decode(request.prompt_token_ids, False) for request in engine.seen]
    assert prompts[:2] == ["HI!?", "HI!?"]
    assert prompts[2].startswith("<|im_start|>user")


@pytest.mark.parametrize(
    ("source", "part"),
    [
        ("{% if %}", "line 1"),
        ("{{ ''.__class__.__mro__ }}", "refuses"),
        ("{{ messages.__init__.__globals__ }}", "refuses"),
        ("{% for a in 'x' %}" * 30 + "{% endfor %}" * 30, "cannot be compiled"),
        ("{{ " + "(" * 5000 + ")" * 5000 + " }}", "compiled"),
        ("", "chat_template"),
        ("{{ '' }}", "empty prompt"),
    ],
)
def test_a_trusted_but_wrong_template_is_the_callers_error(
    trusting: httpx.Client, source: str, part: str
) -> None:
    reply = trusting.post(CHAT, json={"messages": HELLO, "chat_template": source})
    assert reply.status_code == 400
    assert part in reply.json()["error"]["message"]


@pytest.fixture
def trusting(start_server: Callable[..., Any]) -> httpx.Client:
    return httpx.Client(base_url=start_server(trust_request_chat_template=True).url)


def test_a_template_that_knows_reasoning_effort_gets_it(
    start_server: Callable[..., Any], engine: Any, tokenizer: Any
) -> None:
    url = start_server(chat_template="{{ reasoning_effort | default('medium') }}").url
    for fields in ({}, {"reasoning_effort": "low"}):
        assert httpx.post(url + CHAT, json={"messages": HELLO, "max_tokens": 1, **fields}).status_code == 200
    prompts = [tokenizer.decode(request.prompt_token_ids, False) for request in engine.seen]
    assert prompts == ["medium", "low"]


@pytest.mark.parametrize(
    ("chosen", "seen"), [("auto", "one\ntwo"), ("string", "one\ntwo"), ("openai", "[text:one][text:two]")]
)
def test_the_operator_decides_what_content_a_template_gets(
    start_server: Callable[..., Any], engine: Any, tokenizer: Any, chosen: str, seen: str
) -> None:
    source = (
        "{% for m in messages %}{% if m.content is string %}{{ m.content }}{% else %}"
        "[text:{{ m.content[0].text }}][text:{{ m.content[1].text }}]{% endif %}{% endfor %}"
    )
    url = start_server(chat_template=source, chat_template_content_format=chosen).url
    assert httpx.post(url + CHAT, json={"messages": PARTS, "max_tokens": 1}).status_code == 200
    assert tokenizer.decode(engine.seen[0].prompt_token_ids, False) == seen


@pytest.mark.parametrize(
    "body",
    [
        "{% for p in m.content %}{{ p.text }}{% endfor %}",
        "{% for p in m['content'] %}{{ p.text }}{% endfor %}",
        "{% set c = m.content %}{% for p in c %}{{ p.text }}{% endfor %}",
        "{% set a = m.content %}{% set b = a %}{% for p in b %}{{ p.text }}{% endfor %}",
        "{% for p in m.content | selectattr('type', 'equalto', 'text') %}{{ p.text }}{% endfor %}",
        "{% macro show(c) %}{% for p in c %}{{ p.text }}{% endfor %}{% endmacro %}{{ show(m.content) }}",
        "{% macro show(c) %}{% for p in c %}{{ p.text }}{% endfor %}{% endmacro %}{{ show(c=m.content) }}",
        "{% if m.content is string %}{{ m.content }}{% else %}{% for p in m.content %}{{ p.text }}{% endfor %}{% endif %}",
    ],
)
def test_a_template_that_loops_over_content_gets_parts(body: str) -> None:
    template = ChatTemplate("{% for m in messages %}" + body + "{% endfor %}", {})
    assert template.wants_parts
    assert template.render([{"role": "user", "content": [{"type": "text", "text": "one"}]}]) == "one"


@pytest.mark.parametrize(
    "body",
    [
        "{{ m.content }}",
        "{{ m['content'] | trim }}",
        "{% for word in m.content.split() %}{{ word }}{% endfor %}",
        "{% for c in m.tool_calls or [] %}{{ c }}{% endfor %}{{ m.content }}",
        "{% macro show(c) %}{{ c }}{% endmacro %}{{ show(m.content) }}{% for t in tools or [] %}{{ t }}{% endfor %}",
    ],
)
def test_any_other_template_gets_text(body: str) -> None:
    assert not ChatTemplate("{% for m in messages %}" + body + "{% endfor %}", {}).wants_parts
