"""What steps took, by the requests that they were made for."""

from dataclasses import dataclass
from typing import Any

import pytest

from paddock.engine.executor.plan import ScheduledRow, StepPlan
from paddock.engine.step_ledger import StepLedger
from paddock.engine.step_seconds import PhaseSeconds, StepSeconds, timed_parts


@dataclass(eq=False)
class Held:
    """As much of a request as the ledger looks at."""

    row: int
    num_generated_tokens: int = 0


def plan(*rows: int) -> StepPlan:
    return StepPlan(0, [], [], [ScheduledRow(row, 0, 1, [], True) for row in rows])


def test_steps_before_the_first_token_are_prefill_and_later_ones_decode() -> None:
    ledger = StepLedger()
    request: Any = Held(3)
    for model, worker in ((1.0, 2.0), (4.0, 8.0), (16.0, 32.0)):
        ledger.begin(plan(3), [request])
        ledger.end(StepSeconds(model, worker), [request])
        request.num_generated_tokens += model > 1
    assert ledger.spent_on(request) == PhaseSeconds(StepSeconds(5.0, 10.0), StepSeconds(16.0, 32.0))


def test_a_step_counts_for_those_that_held_its_rows_when_it_began() -> None:
    ledger = StepLedger()
    first: Any = Held(0)
    idle: Any = Held(1)
    ledger.begin(plan(0), [first, idle])
    first.row, heir = -1, Held(0)
    ledger.end(StepSeconds(worker=1.0), [heir, idle])  # type: ignore[list-item]
    assert [ledger.spent_on(each) for each in (first, idle, heir)] == [None, None, None]  # type: ignore[arg-type]


def test_what_was_spent_on_an_aborted_request_is_forgotten() -> None:
    ledger = StepLedger()
    request: Any = Held(0)
    for alive in ([request], []):
        ledger.begin(plan(0), [request])
        ledger.end(StepSeconds(worker=1.0), alive)
    assert ledger.spent_on(request) is None


@pytest.mark.parametrize(
    ("asked", "parts"),
    [
        (None, set()),
        (("all",), {"model", "worker"}),
        (("model",), {"model"}),
        (("worker", "all"), {"model", "worker"}),
    ],
)
def test_all_names_every_part(asked: tuple[str, ...] | None, parts: set[str]) -> None:
    assert timed_parts(asked) == parts
