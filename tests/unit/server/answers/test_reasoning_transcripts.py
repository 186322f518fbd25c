"""Each reasoning parser on answers in its format, with what the prompt says of the thinking block."""

import pytest
from answers import OFFERED, Answer, cuts, read
from hypothesis import given, settings
from hypothesis import strategies as st

from paddock.server.generation.answer_parser import AnswerParser
from paddock.server.reasoning.parser import Block
from paddock.server.reasoning.registry import BUILT_IN, reasoning_parser
from paddock.server.tools.registry import tool_parser

UNSAID, OPENED, CLOSED = Block.UNSAID, Block.OPENED, Block.CLOSED
THOUGHTS, ANSWER = "2 and 2:\n\n<b>4</b> 🤔", "It is 4.\n"
HARMONY = "<|channel|>analysis<|message|>2 and 2:\n\n<b>4</b> 🤔<|end|><|start|>assistant<|channel|>final<|message|>It is 4.\n"
HUNYUAN = f"<think>\n{THOUGHTS}\n</think>\n<answer>\nIt is 4.\n\n</answer>"

TRANSCRIPTS: list[tuple[str, Block, str, str, str]] = [
    ("deepseek_r1", UNSAID, f"<think>\n{THOUGHTS}\n</think>\n\n{ANSWER}", THOUGHTS, ANSWER),
    ("deepseek_r1", OPENED, f"{THOUGHTS}\n</think>\n\n{ANSWER}", THOUGHTS, ANSWER),
    ("deepseek_r1", UNSAID, THOUGHTS, THOUGHTS, ""),
    ("deepseek_r1", CLOSED, ANSWER, "", ANSWER),
    ("step3", UNSAID, f"{THOUGHTS}</think>{ANSWER}", THOUGHTS, ANSWER),
    ("seed_oss", UNSAID, f"<seed:think>{THOUGHTS}</seed:think>{ANSWER}", THOUGHTS, ANSWER),
    ("seed_oss", CLOSED, ANSWER, "", ANSWER),
    ("qwen3", UNSAID, f"<think>\n{THOUGHTS}\n</think>\n\n{ANSWER}", THOUGHTS, ANSWER),
    ("qwen3", OPENED, f"{THOUGHTS}\n</think>\n\n{ANSWER}", THOUGHTS, ANSWER),
    ("qwen3", UNSAID, f" {ANSWER}", "", f" {ANSWER}"),
    ("qwen3", CLOSED, f"<think> is a tag. {ANSWER}", "", f"<think> is a tag. {ANSWER}"),
    ("qwen3", UNSAID, "<think>\n\n</think>\n\nHi", "", "Hi"),
    ("glm45", UNSAID, f"\n<think>{THOUGHTS}</think>\n{ANSWER}", THOUGHTS, ANSWER),
    ("glm45", UNSAID, ANSWER, "", ANSWER),
    ("granite", UNSAID, f"Here is my thought process:\n\n{THOUGHTS}\n\nHere is my response:\n\n{ANSWER}", THOUGHTS, ANSWER),
    ("granite", UNSAID, "Here is my cat.", "", "Here is my cat."),
    ("hunyuan_a13b", UNSAID, HUNYUAN, THOUGHTS, ANSWER),
    ("hunyuan_a13b", CLOSED, "<answer>\nIt is 4.\n\n</answer>", "", ANSWER),
    ("mistral", UNSAID, f"[THINK]{THOUGHTS}[/THINK]{ANSWER}", THOUGHTS, ANSWER),
    ("mistral", UNSAID, ANSWER, "", ANSWER),
    ("openai_gptoss", UNSAID, HARMONY, THOUGHTS, ANSWER),
    ("openai_gptoss", UNSAID, ANSWER, "", ANSWER),
]  # fmt: skip
ALPHABET = [
    *" \n<a>/",
    *(mark for name in BUILT_IN for mark in reasoning_parser(name).markers),
    *("Here is my thought process:", "Here is my response:", "<answer>", "</answer>", "final", "analysis"),
]
PROMPTS = [
    ("qwen3", "<|im_start|>assistant\n", UNSAID),
    ("qwen3", "<|im_start|>assistant\n<think>\n", OPENED),
    ("qwen3", "<|im_start|>assistant\n<think>\n\n</think>\n\n", CLOSED),
    ("qwen3", "<think>\nwhat a user wrote<|im_end|>\n<|im_start|>assistant\n", UNSAID),
    ("seed_oss", "<seed:bos>assistant\n<seed:think></seed:think>", CLOSED),
    ("openai_gptoss", "<|start|>assistant", UNSAID),
]


def parsed(name: str, block: Block, chunks: list[str]) -> Answer:
    return read(AnswerParser(reasoning_parser(name)(block), None), chunks)


@pytest.mark.parametrize(("name", "block", "text", "reasoning", "content"), TRANSCRIPTS)
def test_a_transcript_gives_reasoning_and_content_however_it_is_cut(
    name: str, block: Block, text: str, reasoning: str, content: str
) -> None:
    for chunks in [[text], *cuts(text)]:
        assert parsed(name, block, chunks) == Answer(content, reasoning), chunks


@pytest.mark.parametrize(("name", "block", "text"), [case[:3] for case in TRANSCRIPTS])
def test_a_transcript_that_ends_early_gives_the_same_in_pieces(name: str, block: Block, text: str) -> None:
    for end in range(len(text)):
        assert parsed(name, block, list(text[:end])) == parsed(name, block, [text[:end]])


@pytest.mark.parametrize("name", BUILT_IN)
@given(pieces=st.lists(st.sampled_from(ALPHABET), max_size=16), block=st.sampled_from(Block), data=st.data())
@settings(max_examples=60, deadline=None)
def test_any_text_in_any_pieces_gives_what_it_gives_whole(
    name: str, pieces: list[str], block: Block, data: st.DataObject
) -> None:
    text = "".join(pieces)
    borders = sorted(data.draw(st.sets(st.integers(0, len(text)), max_size=6)))
    chunks = [text[start:end] for start, end in zip([0, *borders], [*borders, len(text)], strict=True)]
    assert parsed(name, block, chunks) == parsed(name, block, [text])


@pytest.mark.parametrize(("name", "prompt", "block"), PROMPTS)
def test_the_end_of_the_prompt_says_whether_the_model_is_thinking(
    name: str, prompt: str, block: Block
) -> None:
    assert reasoning_parser(name).block_of(prompt) is block


def test_a_continued_message_thinks_on_only_inside_an_open_block() -> None:
    parser = reasoning_parser("deepseek_r1")
    assert parser.block_within("<think>\nfirst, I") is OPENED
    assert parser.block_within("<think>\nso.</think>It is") is CLOSED
    assert parser.block_within("It is") is CLOSED


def test_calls_are_looked_for_after_the_reasoning_alone() -> None:
    call = '<tool_call>{"name": "now", "arguments": {}}</tool_call>'
    text = f"<think>\nMaybe {call}?\n</think>\n\n{call}"
    for chunks in [[text], *cuts(text)]:
        parser = AnswerParser(reasoning_parser("qwen3")(UNSAID), tool_parser("hermes")(OFFERED))
        answer = read(parser, chunks)
        assert answer.reasoning == f"Maybe {call}?"
        assert (answer.content, [call.name for call in answer.calls]) == ("", ["now"])


def test_harmony_reasoning_and_calls_come_from_one_parser() -> None:
    text = (
        "<|channel|>analysis<|message|>Need time.<|end|><|start|>assistant<|channel|>commentary to=functions.now"
        "<|message|>{}<|call|>"
    )
    answer = read(AnswerParser(None, tool_parser("openai")(OFFERED)), list(text))
    assert (answer.reasoning, [call.name for call in answer.calls]) == ("Need time.", ["now"])


def test_the_reasoning_ends_where_its_mark_ends_and_far_away_while_it_lasts() -> None:
    parser = AnswerParser(reasoning_parser("qwen3")(OPENED), None)
    parser.push("I th")
    assert parser.reasoning_end > 10**9
    parser.push("ink.</think>\n\nHi")
    assert parser.reasoning_end == len("I think.</think>")


def test_each_built_in_parser_has_a_transcript() -> None:
    assert {case[0] for case in TRANSCRIPTS} == set(BUILT_IN)
