"""The engine core with the tiny model: what is said of a form holds however the steps are cut."""

import json
import re
import select
from dataclasses import replace

import jsonschema
import msgspec
import pytest
from constrained_texts import TINY_MODEL, VOCABULARY

from paddock.engine.config import parse_serve
from paddock.engine.core import EngineCore
from paddock.engine.core_process import grammar_maker
from paddock.engine.executor.uni import UniExecutor
from paddock.engine.messages import AddRequest, RequestRefused
from paddock.engine.models.shape import ModelShape
from paddock.engine.sampling.params import SamplingParams
from paddock.engine.settings import EngineSettings
from paddock.engine.structured_output.constraint import Constraint, Thinking

SCHEMA = {
    "type": "object",
    "properties": {"n": {"type": "integer"}, "s": {"enum": ["ab", "cd"]}, "l": {"type": "array", "items": {"type": "boolean"}, "maxItems": 3}},
    "required": ["n", "s", "l"],
    "additionalProperties": False,
}  # fmt: skip
FORMS = [
    Constraint(kind="json", text=json.dumps(SCHEMA), disable_any_whitespace=True),
    Constraint(kind="regex", text="[a-z]{4,9}[0-9]{3}"),
    Constraint(kind="choice", text='["yes", "no", "perhaps not"]'),
    None,
]
THINK, THOUGHT = 2042, 2043


def make_core(num_blocks: int = 256, **deviations: object) -> EngineCore:
    config = parse_serve([str(TINY_MODEL), "--max-model-len", "256", "--dtype", "float32"], {})
    shape = ModelShape.read(TINY_MODEL, config.model)
    settings = replace(
        EngineSettings.resolve(config, shape), num_gpu_blocks_override=num_blocks, **deviations
    )
    executor = UniExecutor(settings, config, shape, TINY_MODEL)
    return EngineCore(executor, settings, grammar_maker(config, settings, TINY_MODEL))


def run(core: EngineCore, requests: dict[str, SamplingParams]) -> dict[str, tuple[list[int], str]]:
    """Tokens and finish reason by request; all are asked at once."""
    for number, (name, sampling) in enumerate(requests.items()):
        assert core.add(AddRequest(name, [20 + number] * (5 + 9 * number), sampling, 0.0)) is None
    found: dict[str, tuple[list[int], str]] = {name: ([], "") for name in requests}
    while not all(reason for _, reason in found.values()):
        for _, refusal in core.settle():
            found[refusal.request_id] = ([], refusal.message)
        if not core.has_work:
            select.select([core.grammar_alarm], [], [], 10)
            continue
        for output in core.step().get(b"", []):
            tokens, _ = found[output.request_id]
            found[output.request_id] = ([*tokens, *output.new_token_ids], output.finish_reason or "")
    core.check_integrity()
    core.shutdown()
    return found


def text_of(token_ids: list[int]) -> str:
    return b"".join(VOCABULARY.tokens[token_id] for token_id in token_ids).decode()


def sampling(form: Constraint | None, number: int, **fields: object) -> SamplingParams:
    return SamplingParams(
        max_tokens=90, temperature=float(number % 3), seed=number, constraint=form, **fields
    )  # type: ignore[arg-type]


REQUESTS = {f"{number}": sampling(FORMS[number % 4], number) for number in range(8)}


@pytest.fixture(scope="module")
def expected() -> dict[str, tuple[list[int], str]]:
    return run(make_core(), REQUESTS)


def test_each_output_has_its_form(expected) -> None:
    for name, (token_ids, reason) in expected.items():
        text = text_of(token_ids)
        match int(name) % 4:
            case 0 if reason == "stop":
                jsonschema.validate(json.loads(text), SCHEMA)
            case 1:
                assert (re.fullmatch("[a-z]{4,9}[0-9]{3}", text) is not None, reason) == (True, "stop")
            case 2:
                assert (text in ("yes", "no", "perhaps not"), reason) == (True, "stop")
    assert expected["0"][1] == "stop"


@pytest.mark.parametrize(
    "deviations",
    [{"max_num_batched_tokens": 5, "max_num_seqs": 4}, {"async_scheduling": True}, {"num_blocks": 18}],
    ids=["chunked prefill", "async scheduling", "preemption"],
)
def test_outputs_do_not_depend_on_how_steps_are_cut(expected, deviations) -> None:
    assert run(make_core(**deviations), REQUESTS) == expected


def test_min_tokens_holds_as_far_as_the_form_goes() -> None:
    longer = sampling(Constraint(kind="regex", text="a{1,9}"), 0, min_tokens=6)
    shorter = sampling(Constraint(kind="choice", text='["yes"]'), 0, min_tokens=50)
    found = run(make_core(), {"longer": longer, "shorter": shorter})
    assert len(found["longer"][0]) > 6
    assert (text_of(found["shorter"][0]), found["shorter"][1]) == ("yes", "stop")


@pytest.mark.parametrize("begun", [True, False])
def test_thinking_is_free_and_the_answer_after_it_is_not(begun: bool) -> None:
    thinking = Thinking((THINK,), (THOUGHT,), begun)
    form = Constraint(kind="choice", text='["yes"]', thinking=thinking)
    push = {THOUGHT: 30.0} if begun else {THINK: 100.0, THOUGHT: 60.0}
    fields = sampling(form, 0, logit_bias=push, bad_words=((THINK, THINK), (THOUGHT, THOUGHT)))
    token_ids, reason = run(make_core(), {"0": fields})["0"]
    assert (text_of(token_ids[token_ids.index(THOUGHT) + 1 :]), reason) == ("yes", "stop")
    assert (token_ids[0] == THINK) == (not begun)


@pytest.mark.parametrize("form", [Constraint(kind="text"), Constraint(kind="choice", text='["yes"]')])
@pytest.mark.parametrize("begun", [True, False])
def test_thinking_ends_after_its_budget_and_no_sooner(form: Constraint, begun: bool) -> None:
    thinking = Thinking((THINK,), (THOUGHT,), begun, budget=7)
    # Left alone the model would go on for ever.
    push = {THINK: 0.0 if begun else 100.0, THOUGHT: -100.0}
    fields = sampling(replace_thinking(form, thinking), 1, logit_bias=push, bad_words=((THINK, THINK),))
    token_ids, reason = run(make_core(), {"0": fields})["0"]
    assert token_ids.index(THOUGHT) == 7 + (not begun)
    answer = token_ids[token_ids.index(THOUGHT) + 1 :]
    assert answer
    assert form.kind == "text" or (text_of(answer), reason) == ("yes", "stop")


def replace_thinking(form: Constraint, thinking: Thinking) -> Constraint:
    return msgspec.structs.replace(form, thinking=thinking)


def test_an_answer_without_thinking_is_constrained_from_its_first_token() -> None:
    form = Constraint(kind="choice", text='["yes"]', thinking=Thinking((THINK,), (THOUGHT,), False))
    token_ids, _ = run(make_core(), {"0": sampling(form, 0, logit_bias={THINK: -100.0})})["0"]
    assert text_of(token_ids) == "yes"


def test_a_bad_constraint_ends_its_own_request_alone() -> None:
    found = run(
        make_core(), {"bad": sampling(Constraint(kind="regex", text="[a-"), 0), "good": sampling(None, 1)}
    )
    assert "regular expression" in found["bad"][1] or "Regex" in found["bad"][1]
    assert found["good"][0]


def test_an_abort_while_the_grammar_is_compiled_leaves_nothing() -> None:
    core = make_core()
    core.add(AddRequest("a", [1, 2], sampling(FORMS[0], 0), 0.0))
    core.abort(["a"])
    assert (core.has_work, core.settle()) == (False, [])
    core.shutdown()


@pytest.mark.parametrize(("field", "message"), [("ignore_eos", "ignore_eos"), (None, "no tokenizer")])
def test_what_cannot_be_constrained_is_refused(field: str | None, message: str) -> None:
    core = make_core()
    if field is None:
        core._constrained = None
    refusal = core.add(AddRequest("a", [1], sampling(FORMS[0], 0, ignore_eos=field is not None), 0.0))
    assert isinstance(refusal, RequestRefused)
    assert message in refusal.message
    core.shutdown()
