"""Each tool parser on answers in its format: written after the formats' public descriptions, by hand."""

from typing import Any

import pytest
from answers import OFFERED, Answer, cuts, read

from paddock.server.generation.answer_parser import AnswerParser
from paddock.server.tools.registry import BUILT_IN, tool_parser

OSLO = {"city": "Oslo"}
TWO = [("get_weather", {"city": "Zürich 🏔", "days": 3}), ("now", {})]
Expected = list[tuple[str, Any]]

TRANSCRIPTS: list[tuple[str, str, str, Expected]] = [
    ("hermes", '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Oslo"}}\n</tool_call>', "", [("get_weather", OSLO)]),
    (
        "hermes",
        ('Let me look.\n<tool_call>\n{"name": "get_weather", "arguments": {"city": "Zürich 🏔", "days": 3}}\n</tool_call>\n'
        '<tool_call>\n{"name": "now"}\n</tool_call>'),
        "Let me look.",
        TWO,
    ),
    (
        "hermes",
        '<tool_call>{"arguments": {"city": "a \\"b\\" \\u00e9 {[<tool_call>"}, "name": "get_weather"}</tool_call>',
        "",
        [("get_weather", {"city": 'a "b" é {[<tool_call>'})],
    ),
    ("hermes", '<tool_call>{"name":"now","arguments":"{\\"zone\\": [1, -2.5e3, null]}"}</tool_call>', "", [("now", {"zone": [1, -2500.0, None]})]),
    ("hermes", '<tool_call>{"name":"now","arguments":null,"more":[{}]}</tool_call>Done.', "Done.", [("now", {})]),
    ("hermes", '<tool_call>{"name": "now", "arguments": {"a": "line\nnext"}</tool_call>', "", [("now", {"a": "line\nnext"})]),
    (
        "mistral",
        '[TOOL_CALLS] [{"name": "get_weather", "arguments": {"city": "Zürich 🏔", "days": 3}}, {"name": "now", "arguments": {}}]',
        "",
        TWO,
    ),
    (
        "mistral",
        'One moment.[TOOL_CALLS]get_weather[ARGS]{"city": "Zürich 🏔", "days": 3}[TOOL_CALLS]now[CALL_ID]abc123XYZ[ARGS]{}',
        "One moment.",
        TWO,
    ),
    ("mistral", '[TOOL_CALLS]get_weather{"city": "Oslo"}', "", [("get_weather", OSLO)]),
    ("llama3_json", '{"name": "get_weather", "parameters": {"city": "Oslo"}}', "", [("get_weather", OSLO)]),
    (
        "llama3_json",
        '<|python_tag|>{"name": "get_weather", "parameters": {"city": "Zürich 🏔", "days": 3}}; {"name": "now", "parameters": {}}',
        "",
        TWO,
    ),
    ("llama3_json", '{"type": "function", "name": "now", "parameters": {}}', "", [("now", {})]),
    ("llama3_json", '{"name": "Ada", "parameters": {"born": 1815}}', '{"name": "Ada", "parameters": {"born": 1815}}', []),
    ("pythonic", "[get_weather(city='Zürich 🏔', days=3), now()]", "", TWO),
    (
        "pythonic",
        "[get_weather(city=\"It's (a), \\\"b]\", places=['x', ('y',)], options={'deep': {'k': [None, True, false]}}, days=-1.5,)]",
        "",
        [
            (
                "get_weather",
                {
                    "city": 'It\'s (a), "b]',
                    "places": ["x", ["y"]],
                    "options": {"deep": {"k": [None, True, False]}},
                    "days": -1.5,
                },
            )
        ],
    ),
    ("pythonic", "[1, 2, 3] is a list.", "[1, 2, 3] is a list.", []),
    ("pythonic", "[get_weather(Oslo)]", "[get_weather(Oslo)]", []),
    ("llama4_pythonic", "<|python_start|>[get_weather(city='Zürich 🏔', days=3), now()]<|python_end|>", "", TWO),
    ("llama4_pythonic", "[now()]", "", [("now", {})]),
    (
        "qwen3_coder",
        ("I will check.\n<tool_call>\n<function=get_weather>\n<parameter=city>\nZürich 🏔\n</parameter>\n<parameter=days>\n3\n"
        "</parameter>\n</function>\n</tool_call>\n<tool_call>\n<function=now>\n</function>\n</tool_call>"),
        "I will check.",
        TWO,
    ),
    (
        "qwen3_coder",
        ("<function=write_file>\n<parameter=path>\n7\n</parameter>\n<parameter=text>\n\n  if a < b:\n\treturn \"</param>\"\n\n</parameter>\n"
        "</function>\n</tool_call>"),
        "",
        [("write_file", {"path": "7", "text": '\n  if a < b:\n\treturn "</param>"\n'})],
    ),
    (
        "qwen3_coder",
        ("<tool_call><function=get_weather><parameter=places>['a', \"b\"]</parameter><parameter=options>null</parameter>"
        "<parameter=hourly>True</parameter><parameter=days>soon</parameter></function></tool_call>"),
        "",
        [("get_weather", {"places": ["a", "b"], "options": None, "hourly": True, "days": "soon"})],
    ),
    (
        "glm45",
        ("\n<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>Zürich 🏔</arg_value>\n<arg_key>days</arg_key>\n"
        "<arg_value>3</arg_value>\n</tool_call>\n<tool_call>now\n</tool_call>"),
        "",
        TWO,
    ),
    (
        "glm45",
        ("Writing.<tool_call>write_file<arg_key>text</arg_key><arg_value>a\n\"b\" </arg></arg_value><arg_key>mode</arg_key>"
        "<arg_value>{\"x\": 1}</arg_value></tool_call>"),
        "Writing.",
        [("write_file", {"text": 'a\n"b" </arg>', "mode": {"x": 1}})],
    ),
    (
        "deepseek_v3",
        ("Checking.<｜tool▁calls▁begin｜>"
        '<｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather\n```json\n{"city": "Zürich 🏔", "days": 3}\n```<｜tool▁call▁end｜>\n'
        "<｜tool▁call▁begin｜>function<｜tool▁sep｜>now\n```json\n{}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>"),
        "Checking.",
        TWO,
    ),
    (
        "kimi_k2",
        ("Checking.<|tool_calls_section_begin|><|tool_call_begin|>functions.get_weather:0<|tool_call_argument_begin|>"
        '{"city": "Zürich 🏔", "days": 3}<|tool_call_end|><|tool_call_begin|>functions.now:1<|tool_call_argument_begin|>{}'
        "<|tool_call_end|><|tool_calls_section_end|>"),
        "Checking.",
        TWO,
    ),
    (
        "granite",
        '<|tool_call|>[{"name": "get_weather", "arguments": {"city": "Zürich 🏔", "days": 3}}, {"name": "now", "arguments": {}}]',
        "",
        TWO,
    ),
    ("granite", '<tool_call>[{"arguments": {"city": "Oslo"}, "name": "get_weather"}]', "", [("get_weather", OSLO)]),
    (
        "internlm",
        'I check.<|action_start|><|plugin|>\n{"name": "get_weather", "parameters": {"city": "Oslo"}}<|action_end|>\n',
        "I check.",
        [("get_weather", OSLO)],
    ),
    (
        "jamba",
        'Sure.\n<tool_calls>[\n    {"name": "get_weather", "arguments": {"city": "Zürich 🏔", "days": 3}},\n    {"name": "now", "arguments": {}}\n]</tool_calls>',
        "Sure.",
        TWO,
    ),
    (
        "phi4_mini_json",
        'functools[{"name": "get_weather", "arguments": {"city": "Zürich 🏔", "days": 3}},{"name": "now", "arguments": {}}]',
        "",
        TWO,
    ),
    ("phi4_mini_json", "Use functools.partial, or functools[0].", "Use functools.partial, or functools[0].", []),
    (
        "openai",
        ("<|channel|>analysis<|message|>They want weather.<|end|><|start|>assistant<|channel|>commentary to=functions.get_weather "
        '<|constrain|>json<|message|>{"city":"Zürich 🏔","days":3}<|call|>'
        "<|start|>assistant to=functions.now<|channel|>commentary<|message|>{}<|call|>"),
        "",
        TWO,
    ),
    ("openai", " to=functions.get_weather<|channel|>commentary json<|message|>{\"city\": \"Oslo\"}", "", [("get_weather", OSLO)]),
    (
        "openai",
        "<|channel|>commentary<|message|>I look first.<|end|><|start|>assistant<|channel|>final<|message|>It is cold.",
        "I look first.It is cold.",
        [],
    ),
]  # fmt: skip
PLAIN = ["", "Hello there.", "  spaced \n\n", "a < b, [x], {y}; f(1) <tool", "naïve 🙂 text\n"]


def parsed(name: str, chunks: list[str]) -> Answer:
    return read(AnswerParser(None, tool_parser(name)(OFFERED)), chunks)


@pytest.mark.parametrize(("name", "text", "content", "calls"), TRANSCRIPTS)
def test_a_transcript_gives_its_content_and_calls(
    name: str, text: str, content: str, calls: Expected
) -> None:
    answer = parsed(name, [text])
    assert answer.content == content
    assert [(call.name, call.values) for call in answer.calls] == calls
    assert all(call.whole for call in answer.calls)


@pytest.mark.parametrize(("name", "text"), [case[:2] for case in TRANSCRIPTS])
def test_a_transcript_cut_anywhere_gives_the_same(name: str, text: str) -> None:
    whole = parsed(name, [text])
    for chunks in cuts(text):
        assert parsed(name, chunks) == whole, chunks


@pytest.mark.parametrize(("name", "text"), [case[:2] for case in TRANSCRIPTS])
def test_a_transcript_that_ends_early_never_raises_and_gives_the_same_in_pieces(name: str, text: str) -> None:
    for end in range(len(text)):
        cut_off = text[:end]
        assert parsed(name, list(cut_off)) == parsed(name, [cut_off])


@pytest.mark.parametrize("text", PLAIN)
@pytest.mark.parametrize("name", BUILT_IN)
def test_an_answer_without_calls_is_content_to_the_last_character(name: str, text: str) -> None:
    for chunks in ([text], list(text)):
        assert parsed(name, chunks) == Answer(content=text)


def test_each_built_in_parser_has_a_transcript() -> None:
    assert {case[0] for case in TRANSCRIPTS} == set(BUILT_IN)
