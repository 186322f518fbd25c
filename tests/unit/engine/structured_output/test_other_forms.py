"""Expressions, choices, grammars and structural tags: random texts match, and what is none of them is refused."""

import json
import random
import re

import pytest
from constrained_texts import random_text

from paddock.engine.structured_output.constraint import Constraint
from paddock.engine.structured_output.errors import ConstraintError

BACKENDS = ["xgrammar", "guidance", "outlines", "lm-format-enforcer"]
CHOICES = ["yes", "no", 'may"be', "a.b", "line\nbreak", "\u00e9t\u00e9"]
TAG = {
    "type": "structural_tag",
    "format": {
        "type": "tag", "begin": "<a>", "end": "</a>",
        "content": {"type": "json_schema", "json_schema": {"type": "integer"}},
    },
}  # fmt: skip


def texts(grammar: object, number: int = 12) -> list[str]:
    rng = random.Random(2)
    found = [text for _ in range(number) if (text := random_text(grammar, rng)) is not None]
    assert found
    return [text.decode() for text in found]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("pattern", [r"[a-z]{3}-[0-9]{2}", r"(foo|ba[rz])+", r"[A-F0-9]{4}(:[A-F0-9]{4})?"])
def test_texts_match_the_expression(maker_of, backend: str, pattern: str) -> None:
    grammar = maker_of(backend).make(Constraint(kind="regex", text=pattern, disable_fallback=True))
    assert all(re.fullmatch(pattern, text) for text in texts(grammar))


@pytest.mark.parametrize("backend", BACKENDS)
def test_texts_are_one_of_the_choices(maker_of, backend: str) -> None:
    grammar = maker_of(backend).make(
        Constraint(kind="choice", text=json.dumps(CHOICES), disable_fallback=True)
    )
    assert set(texts(grammar, 40)) <= set(CHOICES)


@pytest.mark.parametrize("text", ['root ::= "a" | "b" root', 'start: "b" start | "a"'])
def test_texts_can_be_derived_from_a_grammar_in_either_notation(maker_of, text: str) -> None:
    grammar = maker_of("auto").make(Constraint(kind="grammar", text=text))
    assert all(re.fullmatch("b*a", found) for found in texts(grammar))


def test_a_structural_tag_holds_what_it_says(maker_of) -> None:
    grammar = maker_of("auto").make(Constraint(kind="structural_tag", text=json.dumps(TAG)))
    assert all(re.fullmatch(r"<a>\s*-?\d+\s*</a>", found) for found in texts(grammar))


@pytest.mark.parametrize(
    ("kind", "text"),
    [("regex", "[a-"), ("regex", "a{1,99999999}"), ("grammar", "root ::= nothing"), ("structural_tag", "{}"),
     ("regex", "(?=a)b"), ("regex", r"(a)\1")],
)  # fmt: skip
def test_what_is_no_such_form_is_refused(maker_of, kind: str, text: str) -> None:
    with pytest.raises(ConstraintError):
        maker_of("auto").make(Constraint(kind=kind, text=text))  # type: ignore[arg-type]
