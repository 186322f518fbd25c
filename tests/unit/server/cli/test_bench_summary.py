"""From outcomes to numbers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddock.server.bench.outcome import Outcome
from paddock.server.bench.report import report
from paddock.server.bench.summary import percentile, summarize


def outcome(first: float = 0.1, gap: float = 0.05, tokens: int = 5) -> Outcome:
    gaps = [gap] * (tokens - 1)
    return Outcome(
        0.0,
        seconds=first + sum(gaps),
        first_token=first,
        gaps=gaps,
        num_prompt_tokens=10,
        num_output_tokens=tokens,
    )


def test_the_times_are_those_of_their_definitions() -> None:
    summary = summarize([outcome()], 2.0, [50, 99])
    assert summary.spreads["ttft"].mean == pytest.approx(100)
    assert summary.spreads["tpot"].mean == pytest.approx(50)
    assert summary.spreads["itl"].percentiles == pytest.approx({50: 50, 99: 50})
    assert summary.spreads["e2el"].median == pytest.approx(300)
    assert (summary.request_throughput, summary.output_throughput) == (0.5, 2.5)


def test_failures_count_as_failures_alone() -> None:
    summary = summarize([outcome(), Outcome(0.0, error="503: busy", seconds=9.0)], 1.0, [99])
    assert (summary.completed, summary.failed, summary.num_output_tokens) == (1, 1, 5)
    assert summary.spreads["e2el"].mean == pytest.approx(300)
    assert "failed, 1 times: 503: busy" in report(summary, ["e2el"], [99])


def test_goodput_counts_the_requests_that_meet_every_target() -> None:
    outcomes = [outcome(), outcome(first=0.2), outcome(gap=0.2)]
    assert summarize(outcomes, 1.0, [99], {"ttft": 150}).goodput == 2
    assert summarize(outcomes, 1.0, [99], {"ttft": 150, "tpot": 60}).goodput == 1
    assert summarize(outcomes, 1.0, [99]).goodput is None


def test_one_token_has_no_time_per_token_and_nothing_answered_has_no_times() -> None:
    assert "tpot" not in summarize([outcome(tokens=1)], 1.0, [99]).spreads
    empty = summarize([], 1.0, [99])
    assert empty.spreads == {}
    assert "no values" in report(empty, ["ttft"], [99])
    assert empty.as_json(["ttft"])["completed"] == 0


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30), st.floats(0, 100))
def test_a_percentile_lies_between_its_neighbours(values: list[float], percent: float) -> None:
    ordered = sorted(values)
    found = percentile(ordered, percent)
    below = sum(value <= found + 1e-6 for value in ordered)
    assert below >= percent / 100 * (len(ordered) - 1)
    assert percentile(ordered, 0) == ordered[0]
    assert percentile(ordered, 100) == ordered[-1]
