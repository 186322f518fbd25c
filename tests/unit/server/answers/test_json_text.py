"""JSON that is passed on while it comes."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paddock.server.tools.json_text import MAX_DEPTH, collected
from paddock.server.tools.source import Malformed, Source

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def passed_on(text: str, size: int) -> str:
    """The value at the start of the text, which comes in pieces of this size. Raises Malformed."""
    source = Source()
    run = collected(source)
    for start in range(0, len(text), size):
        source.add(text[start : start + size])
        try:
            next(run)
        except StopIteration as end:
            return str(end.value)
    source.closed = True
    with pytest.raises(StopIteration) as end:
        next(run)
    return str(end.value.value)


@given(VALUES, st.booleans(), st.sampled_from([None, 1]), st.integers(1, 9))
@settings(deadline=None)
def test_every_value_passes_unchanged(value: Any, ascii_only: bool, indent: int | None, size: int) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    assert json.loads(passed_on(text, size)) == value


@given(st.text(alphabet='{}[]":,\\ u0a1e-+.tfn\n', max_size=14))
@settings(deadline=None)
def test_what_passes_is_json(text: str) -> None:
    try:
        passed = passed_on(text, 3)
    except (Malformed, pytest.fail.Exception):
        return
    json.loads(passed)


@pytest.mark.parametrize(
    "text",
    [
        "{]",
        "[1,]",
        '{"a"}',
        '{"a":}',
        "{a:1}",
        "01 ",
        "1. ",
        "+1 ",
        "NaN ",
        '"\\x"',
        '"\\u12g4"',
        "'a'",
        "tru ",
    ],
)
def test_wrong_json_is_malformed(text: str) -> None:
    for size in (1, 99):
        with pytest.raises(Malformed):
            passed_on(text, size)


def test_control_characters_in_a_string_come_out_escaped() -> None:
    assert passed_on('"a\nb\tc\x01"', 2) == '"a\\nb\\tc\\u0001"'


def test_depth_is_bounded() -> None:
    assert passed_on("[" * MAX_DEPTH + "]" * MAX_DEPTH, 7)
    with pytest.raises(Malformed):
        passed_on("[" * (MAX_DEPTH + 1), 7)
