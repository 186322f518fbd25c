"""Logits processors of the user's own: whom they serve, what they are told, and what their failure costs."""

from pathlib import Path

import numpy as np
import pytest
import torch

from paddock.engine.sampling.params import SamplingParams
from paddock.engine.sampling.processor_choice import ProcessorChoice
from paddock.engine.settings import EngineSettings, SettingsError

MODULE = """
import torch

from paddock.engine.sampling.logits_processor import LogitsProcessor


class Only(LogitsProcessor):
    '''Forces the token in `only`.'''

    @classmethod
    def check(cls, sampling, arguments):
        if "only" not in arguments:
            raise ValueError("only is missing")

    def __init__(self, settings, device):
        self.rows = {}

    def update(self, batch):
        for row in batch.removed:
            del self.rows[row]
        for new in batch.added:
            self.rows[new.row] = new

    def apply(self, logits, rows, lengths):
        for index, row in enumerate(rows.tolist()):
            forced = logits[index].clone().fill_(-100.0)
            forced[self.rows[row].arguments["only"]] = 100.0
            logits[index] = forced
        return logits


class NoRepeat(LogitsProcessor):
    '''Forbids what stands in the prompt or the output.'''

    def __init__(self, settings, device):
        self.rows = {}

    def update(self, batch):
        self.rows.update({new.row: new for new in batch.added})

    def apply(self, logits, rows, lengths):
        for index, (row, length) in enumerate(zip(rows.tolist(), lengths.tolist())):
            new = self.rows[row]
            used = [*new.prompt().tolist(), *new.output(length).tolist()]
            logits[index, used] = float("-inf")
        return logits


class Clumsy(LogitsProcessor):
    def apply(self, logits, rows, lengths):
        return logits[:, :1]


class Forgetful(LogitsProcessor):
    def update(self, batch):
        raise OSError("no memory of that")

    def apply(self, logits, rows, lengths):
        return logits


class Picky(LogitsProcessor):
    '''Serves everybody, and cannot bear a request that says so.'''

    def __init__(self, settings, device):
        self.tantrums = {}

    def update(self, batch):
        for new in batch.added:
            if new.arguments.get("picky") == "update":
                raise OSError("not this one")
            self.tantrums[new.row] = new.arguments.get("picky") == "apply"

    def apply(self, logits, rows, lengths):
        if any(self.tantrums[row] for row in rows.tolist()):
            raise OSError("not this one")
        logits[:, 9] = -100.0
        return logits
"""

LOGITS = torch.arange(10.0).repeat(3, 1)


def named(*names: str, **arguments: object) -> SamplingParams:
    processors = {f"my_processors.{name}": dict(arguments) for name in names}
    return SamplingParams(max_tokens=4, temperature=0, logits_processors=processors)


PLAIN = SamplingParams(max_tokens=4, temperature=0)


@pytest.fixture(autouse=True)
def _module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_processors.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)


@pytest.fixture
def settings() -> EngineSettings:
    return EngineSettings(
        max_model_len=64,
        dtype="float32",
        vocab_size=10,
        eos_token_ids=(),
        block_size=4,
        max_num_seqs=4,
        max_num_batched_tokens=64,
        max_waiting=4,
    )


def with_(settings: EngineSettings, **changes: object) -> EngineSettings:
    from dataclasses import replace

    return replace(settings, **changes)


def test_a_processor_changes_the_requests_that_name_it_and_no_other(sample) -> None:
    result = sample(LOGITS, [PLAIN, named("Only", only=3), PLAIN])

    assert result.token_ids.tolist() == [9, 3, 9]


def test_a_processor_of_the_server_s_own_serves_every_request_by_its_extra_args(sample) -> None:
    params = [SamplingParams(max_tokens=1, temperature=0, extra_args={"only": only}) for only in (1, 2, 3)]

    result = sample(LOGITS, params, logits_processors=("my_processors.Only",))

    assert result.token_ids.tolist() == [1, 2, 3]


def test_a_processor_sees_the_prompt_and_what_was_generated(sample) -> None:
    result = sample(LOGITS, [named("NoRepeat")] * 3, prompts=[[9], [9, 8], [1]], outputs=[[8], [7, 6], []])

    assert result.token_ids.tolist() == [7, 5, 9]


@pytest.mark.parametrize(("name", "words"), [("Clumsy", "ValueError"), ("Forgetful", "no memory of that")])
def test_a_processor_that_fails_ends_the_requests_it_serves_alone(sample, name, words) -> None:
    result = sample(LOGITS, [PLAIN, named(name), PLAIN])

    assert result.token_ids[[0, 2]].tolist() == [9, 9]
    assert result.errors.keys() == {1}
    assert f"the logits processor my_processors.{name} failed" in result.errors[1]
    assert words in result.errors[1]


@pytest.mark.parametrize("stage", ["update", "apply"])
def test_a_processor_of_the_server_s_own_that_fails_for_one_request_serves_the_others(sample, stage) -> None:
    params = [SamplingParams(max_tokens=1, temperature=0, extra_args={"picky": x}) for x in ("", stage, "")]

    result = sample(LOGITS, params, logits_processors=("my_processors.Picky",))

    assert result.token_ids[[0, 2]].tolist() == [8, 8]
    assert result.errors.keys() == {1}
    assert "not this one" in result.errors[1]


@pytest.mark.parametrize(
    ("pattern", "params", "words"),
    [
        (None, named("Only", only=1), "start it with --logits-processor-pattern"),
        (r"other\..*", named("Only", only=1), "--logits-processor-pattern of this server does not match"),
        (r"my_processors\.Onl", named("Only", only=1), "does not match"),
        (r"my_processors\..*", named("Missing"), "the module my_processors has no Missing"),
        (r"my_processors\..*", named("torch"), "is no class that derives from"),
        (r"my_processors\..*", named("Only"), "my_processors.Only: only is missing"),
        (".*", named(*(f"P{number}" for number in range(17))), "at most 16"),
    ],
)
def test_a_request_that_cannot_be_served_is_told_why(settings, pattern, params, words) -> None:
    field, fault = ProcessorChoice(with_(settings, logits_processor_pattern=pattern)).fault_in(params)

    assert field == "logits_processors"
    assert words in fault


def test_a_request_may_name_what_the_pattern_matches_as_a_whole(settings) -> None:
    choice = ProcessorChoice(with_(settings, logits_processor_pattern=r"my_processors\.\w+"))

    assert choice.fault_in(named("Only", "NoRepeat", only=1)) is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"logits_processors": ("my_processors.Nope",)}, "--logits-processors: 'my_processors.Nope'"),
        ({"logits_processor_pattern": "("}, "--logits-processor-pattern '(' is no regular expression"),
    ],
)
def test_a_server_is_not_started_with_what_cannot_be_loaded(settings, changes, words) -> None:
    with pytest.raises(SettingsError) as caught:
        ProcessorChoice(with_(settings, **changes))

    assert words in str(caught.value)


def test_a_processor_cannot_write_to_the_tokens_it_is_shown() -> None:
    from paddock.engine.executor.plan import NewRow
    from paddock.engine.sampling.processor_set import _added

    memory = np.zeros((2, 4), np.int32)
    row = _added("my_processors.Only", NewRow(1, "a", [1], 1, PLAIN), memory)

    with pytest.raises(ValueError, match="read-only"):
        row.token_ids[0] = 5
