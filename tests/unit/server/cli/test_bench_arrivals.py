"""When requests start."""

import itertools
import math
import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddock.server.bench.arrivals import RampUp, start_times


@given(
    count=st.integers(1, 50),
    rate=st.one_of(st.floats(0.1, 1000), st.just(math.inf)),
    burstiness=st.floats(0.05, 50),
    seed=st.integers(0, 1000),
)
def test_there_is_a_rising_time_for_each_request_and_a_seed_repeats_them(
    count: int, rate: float, burstiness: float, seed: int
) -> None:
    times = start_times(count, rate, burstiness, None, random.Random(seed))
    assert len(times) == count
    assert list(times) == sorted(times)
    assert times[0] == 0
    assert times == start_times(count, rate, burstiness, None, random.Random(seed))


def test_an_infinite_rate_starts_all_at_once() -> None:
    assert set(start_times(5, math.inf, 1.0, None, random.Random(0))) == {0.0}


@pytest.mark.parametrize(("burstiness", "deviation"), [(1.0, 1.0), (4.0, 0.5), (0.25, 2.0)])
def test_gaps_have_the_mean_of_the_rate_and_the_spread_of_the_burstiness(
    burstiness: float, deviation: float
) -> None:
    times = start_times(20_000, 10.0, burstiness, None, random.Random(1))
    gaps = [after - before for before, after in itertools.pairwise(times)]
    assert statistics.fmean(gaps) == pytest.approx(0.1, rel=0.05)
    # A gamma distribution's deviation is its mean over the root of its shape.
    assert statistics.stdev(gaps) == pytest.approx(0.1 * deviation, rel=0.05)


@pytest.mark.parametrize(("strategy", "middle"), [("linear", 5.5), ("exponential", math.sqrt(10))])
def test_a_rate_that_ramps_up_goes_from_start_to_end(strategy: str, middle: float) -> None:
    ramp_up = RampUp(strategy, 1, 10)  # type: ignore[arg-type]
    assert [ramp_up.rate(share) for share in (0, 0.5, 1)] == pytest.approx([1, middle, 10])
