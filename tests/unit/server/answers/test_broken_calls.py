"""What a model wrote wrong becomes text, never an error, and never a different call."""

import pytest
from answers import OFFERED, Answer, cuts, read
from hypothesis import given, settings
from hypothesis import strategies as st

from paddock.server.generation.answer_parser import AnswerParser
from paddock.server.tools.registry import BUILT_IN, tool_parser

BROKEN_BEFORE_THE_CALL = [
    ("hermes", "<tool_call>\nnot JSON\n</tool_call>"),
    ("hermes", '<tool_call>{"arguments": {"city": "Oslo"}}</tool_call>'),
    ("hermes", '<tool_call>{"name": "now", "arguments": [1]}</tool_call>'),
    ("hermes", '<tool_call>{"name": "now", "arguments": "{oops"}</tool_call>'),
    ("hermes", '<tool_call>{"name": "", "arguments": {}}</tool_call>'),
    ("hermes", '<tool_call>{"name": 5, "arguments": {}}</tool_call>'),
    ("mistral", "[TOOL_CALLS] []"),
    ("mistral", "[TOOL_CALLS][ARGS]{}"),
    ("llama3_json", '{"name": "now"'),
    ("pythonic", "[now("),
    ("qwen3_coder", "<tool_call>\n<funktion=now>\n</tool_call>"),
    ("glm45", '<tool_call>{"name": "now"}</tool_call>'),
    ("deepseek_v3", "<｜tool▁calls▁begin｜>now()"),
    ("kimi_k2", "<|tool_calls_section_begin|><|tool_call_begin|>functions.now:0 {}"),
    ("granite", "<|tool_call|>none"),
    ("internlm", "<|action_start|><|interpreter|>print(1)<|action_end|>"),
    ("jamba", "<tool_calls>[]</tool_calls>"),
    ("phi4_mini_json", 'functools[{"name": "unknown", "arguments": {}}]'),
    ("openai", "<|channel|>final It is cold."),
]
ALPHABET = [
    *"{}[]\":,\\ \n'()=<>ae19-.tnu",
    '{"name": "now", "arguments": ',
    '"parameters": {',
    "now(",
    "get_weather(city=",
    *(mark for name in BUILT_IN for mark in tool_parser(name).markers),
    "functools",
    "<function=now>",
    "<parameter=city>",
    "</parameter>",
    "</function>",
    "```json\n",
    "to=functions.now",
]


def parsed(name: str, chunks: list[str]) -> Answer:
    return read(AnswerParser(None, tool_parser(name)(OFFERED)), chunks)


@pytest.mark.parametrize(("name", "text"), BROKEN_BEFORE_THE_CALL)
def test_what_is_no_call_is_content_to_the_last_character(name: str, text: str) -> None:
    for chunks in [[text], *cuts(text)]:
        assert parsed(name, chunks) == Answer(content=text), chunks


def test_a_good_call_after_a_broken_one_is_found() -> None:
    answer = parsed("hermes", ['<tool_call>oops</tool_call><tool_call>{"name": "now"}</tool_call>'])
    assert answer.content == "<tool_call>oops</tool_call>"
    assert [(call.name, call.arguments) for call in answer.calls] == [("now", "{}")]


def test_arguments_that_break_off_are_left_as_they_are_and_the_rest_is_content() -> None:
    text = '<tool_call>{"name": "get_weather", "arguments": {"city": Oslo}}</tool_call>'
    for chunks in [[text], *cuts(text)]:
        answer = parsed("hermes", chunks)
        assert [(call.arguments, call.whole) for call in answer.calls] == [('{"city": ', False)]
        assert answer.content == "Oslo}}</tool_call>"


def test_a_call_cut_off_by_the_length_is_not_whole_and_shows_no_punctuation() -> None:
    text = '<tool_call>{"name": "get_weather", "arguments": {"city": "Os\\'
    answer = parsed("hermes", list(text))
    assert [(call.arguments, call.whole) for call in answer.calls] == [('{"city": "Os', False)]
    assert answer.content == ""


@pytest.mark.parametrize("name", BUILT_IN)
@given(pieces=st.lists(st.sampled_from(ALPHABET), max_size=24), data=st.data())
@settings(max_examples=60, deadline=None)
def test_any_text_in_any_pieces_gives_what_it_gives_whole(
    name: str, pieces: list[str], data: st.DataObject
) -> None:
    text = "".join(pieces)
    borders = sorted(data.draw(st.sets(st.integers(0, len(text)), max_size=6)))
    chunks = [text[start:end] for start, end in zip([0, *borders], [*borders, len(text)], strict=True)]
    whole = parsed(name, [text])
    assert parsed(name, chunks) == whole
    for call in whole.calls:
        assert not call.whole or isinstance(call.values, dict)
