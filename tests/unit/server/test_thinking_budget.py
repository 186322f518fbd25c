"""Which answers are told to end their thinking, by what the prompt says of it."""

import pytest

from paddock.engine.structured_output.constraint import Constraint, Thinking
from paddock.server.errors import ApiError
from paddock.server.generation.constraints import Constraints
from paddock.server.reasoning.registry import reasoning_parser

BOUNDING = Constraints(thinker=reasoning_parser("qwen3"), start_ids=(1,), end_ids=(2,))
FORM = Constraint(kind="regex", text="a")


@pytest.mark.parametrize(("prompt", "begun"), [("assistant:", False), ("assistant:<think>\n", True)])
@pytest.mark.parametrize("form", [None, FORM])
def test_a_budget_goes_with_the_form_or_with_none(form: Constraint | None, prompt: str, begun: bool) -> None:
    made = BOUNDING.of_chat(form, prompt, None, "response_format", 1024)
    assert made is not None
    assert made.kind == ("text" if form is None else form.kind)
    assert made.thinking == Thinking((1,), (2,), begun, 1024)


@pytest.mark.parametrize("form", [None, FORM])
def test_where_the_prompt_has_ended_the_thinking_there_is_nothing_to_bound(form: Constraint | None) -> None:
    assert BOUNDING.of_chat(form, "<think>\n\n</think>\n\n", None, "response_format", 1024) == form


@pytest.mark.parametrize("unable", [Constraints(), Constraints(thinker=reasoning_parser("qwen3"))])
def test_a_budget_that_cannot_be_kept_is_refused(unable: Constraints) -> None:
    with pytest.raises(ApiError, match="cannot bound the thinking"):
        unable.of_chat(None, "assistant:", None, "response_format", 1024)
