"""Ids, spacing, and the limit to one call."""

import re

import pytest
from answers import OFFERED, Answer, read

from paddock.server.generation.answer_parser import AnswerParser
from paddock.server.tools import CallBegin, Part
from paddock.server.tools.registry import tool_parser

CALL = '<tool_call>\n{"name": "now", "arguments": {}}\n</tool_call>'


def parser(name: str, *, one_call: bool = False) -> AnswerParser:
    return AnswerParser(None, tool_parser(name)(OFFERED), one_call=one_call)


def parsed(name: str, text: str) -> Answer:
    return read(parser(name), [text])


def test_mistral_ids_have_nine_letters_and_digits() -> None:
    made = {parser("mistral").new_call_id() for _ in range(50)}
    assert len(made) == 50
    assert all(re.fullmatch(r"[A-Za-z0-9]{9}", call_id) for call_id in made)


@pytest.mark.parametrize(("written", "call_id"), [("abc123XYZ", "abc123XYZ"), ("short", None)])
def test_mistral_keeps_the_models_id_when_its_template_would_take_it(
    written: str, call_id: str | None
) -> None:
    [call] = parsed("mistral", f"[TOOL_CALLS]now[CALL_ID]{written}[ARGS]{{}}").calls
    assert call.call_id == call_id


def test_kimi_keeps_its_own_ids() -> None:
    text = (
        "<|tool_calls_section_begin|><|tool_call_begin|>functions.now:12<|tool_call_argument_begin|>{}"
        "<|tool_call_end|><|tool_calls_section_end|>"
    )
    [call] = parsed("kimi_k2", text).calls
    assert (call.name, call.call_id) == ("now", "functions.now:12")


def test_other_ids_are_made_and_differ() -> None:
    assert parser("hermes").new_call_id() != parser("hermes").new_call_id()


@pytest.mark.parametrize(
    ("text", "content"),
    [
        (f"Hi \n\n{CALL}", "Hi"),
        (f"Hi\n{CALL}\n", "Hi"),
        (f"{CALL}\n\nBye\n", "Bye"),
        (f"Hi\n{CALL}\n{CALL}\nBye", "Hi\nBye"),
        (f"\n {CALL}", ""),
    ],
)
def test_white_space_around_calls_is_no_content(text: str, content: str) -> None:
    for chunks in ([text], list(text)):
        assert read(parser("hermes"), chunks).content == content


def test_an_answer_limited_to_one_call_has_the_first() -> None:
    other = CALL.replace("now", "get_weather")
    answer = read(parser("hermes", one_call=True), list(f"{CALL}\n{other} Done."))
    assert ([call.name for call in answer.calls], answer.content) == (["now"], "Done.")


def test_arguments_come_while_they_are_written() -> None:
    running = parser("hermes")
    assert running.push('<tool_call>\n{"name": "write_file", "argu') == []
    begun: list[Part] = running.push('ments": {')
    assert isinstance(begun[0], CallBegin)
    assert running.push('"text": "first ')[0].text == '"text": "first '  # type: ignore[union-attr]
    assert running.push("second")[0].text == "second"  # type: ignore[union-attr]
