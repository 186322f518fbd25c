"""A tally counts what its histogram would have counted, one observation after the other."""

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram

from paddock.server.metric_tally import Tally

BOUNDS = (0.001, 0.01, 0.1, 1.0)


def make_histogram() -> Histogram:
    return Histogram("seconds", "of something", registry=CollectorRegistry(), buckets=BOUNDS)


def counts(histogram: Histogram) -> list[tuple[str, float]]:
    """Of the buckets and of all; the sum's last digit depends on the order of the additions."""
    [family] = histogram.collect()
    return [
        (sample.labels.get("le", ""), sample.value)
        for sample in family.samples
        if sample.name.endswith(("_bucket", "_count"))
    ]


def tallied(values: Iterable[float]) -> Histogram:
    histogram = make_histogram()
    tally = Tally(histogram)
    for value in values:
        tally.add(value)
    tally.flush()
    return histogram


@given(st.lists(st.sampled_from([*BOUNDS, 0.0, 0.05, 7.0]) | st.floats(0, 1e6)))
def test_every_value_falls_into_the_bucket_that_the_library_chooses(values: list[float]) -> None:
    expected = make_histogram()
    for value in values:
        expected.observe(value)
    assert counts(tallied(values)) == counts(expected)


def test_the_sum_is_of_all_values() -> None:
    [family] = tallied([0.25, 0.25, 0.5]).collect()
    assert [sample.value for sample in family.samples if sample.name.endswith("_sum")] == [1.0]


def test_nothing_is_counted_twice() -> None:
    histogram = make_histogram()
    tally = Tally(histogram)
    for _ in range(2):
        tally.add(0.5)
        tally.flush()
        tally.flush()
    assert counts(histogram)[-1] == ("", 2.0)
