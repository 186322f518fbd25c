"""The tiny model's own tokenizer and template, against transformers."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from serving import TINY_MODEL

from paddock.server.chat.template import ChatTemplate, load_chat_template
from paddock.server.tokens.tokenizer import Tokenizer

TINY = Tokenizer(TINY_MODEL)
CALL = {"id": "a", "type": "function", "function": {"name": "weather", "arguments": {"city": "Köln"}}}
CONVERSATIONS: list[list[dict[str, Any]]] = [
    [{"role": "user", "content": "What is 2 + 2?"}],
    [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "<b>Grüße</b> 日本語"}],
    [
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": "", "tool_calls": [CALL]},
        {"role": "tool", "content": '{"celsius": 9}', "tool_call_id": "a"},
    ],
    [
        {"role": "user", "content": "Think."},
        {"role": "assistant", "content": "4", "reasoning_content": "2 and 2"},
        {"role": "user", "content": "Again."},
    ],
]


@pytest.fixture(scope="module")
def template() -> ChatTemplate:
    template = load_chat_template(TINY, None)
    assert template is not None
    return template


@pytest.fixture(scope="module")
def reference() -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(TINY_MODEL)


@pytest.mark.parametrize("messages", CONVERSATIONS, ids=["plain", "system", "tools", "thinking"])
@pytest.mark.parametrize("variables", [{}, {"enable_thinking": True}, {"enable_thinking": False}], ids=str)
def test_prompts_equal_those_of_transformers(
    messages: list[dict[str, Any]], variables: dict[str, Any], template: ChatTemplate, reference: Any
) -> None:
    text = template.render(messages, variables=variables)
    given = {"add_generation_prompt": True, **variables}
    assert text == reference.apply_chat_template(messages, tokenize=False, **given)
    assert TINY.encode(text, False) == reference.apply_chat_template(messages, return_dict=False, **given)


@settings(deadline=None)
@given(text=st.text())
def test_texts_encode_as_in_transformers_and_come_back_whole(text: str) -> None:
    token_ids = TINY.encode(text, True)
    detokenizer = TINY.detokenizer([], False)
    shown = [detokenizer.push(token_id) for token_id in token_ids]
    assert "".join(shown) + detokenizer.flush() == TINY.decode(token_ids, False)


@settings(deadline=None)
@given(token_ids=st.lists(st.integers(0, TINY.size + 50)), skip=st.booleans())
def test_any_tokens_stream_to_their_batch_decode(token_ids: list[int], skip: bool) -> None:
    detokenizer = TINY.detokenizer([], skip)
    shown = "".join(detokenizer.push(token_id) for token_id in token_ids) + detokenizer.flush()
    assert shown == TINY.decode(token_ids, skip)
