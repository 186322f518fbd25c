"""Observations of one histogram, gathered over a step: as many as there are running sequences, most of them equal."""

from bisect import bisect_left

from prometheus_client import Histogram


class Tally:
    """`add` costs a look-up; the histogram, whose every observation takes locks, is asked once for each distinct value."""

    def __init__(self, histogram: Histogram) -> None:
        self._histogram = histogram
        self._counts: dict[float, int] = {}

    def add(self, value: float) -> None:
        """Not counted before the next `flush`."""
        self._counts[value] = self._counts.get(value, 0) + 1

    def flush(self) -> None:
        # The library can observe a value once only; its own `observe` does just this with a count of 1.
        histogram = self._histogram
        for value, count in self._counts.items():
            histogram._sum.inc(value * count)
            histogram._buckets[bisect_left(histogram._upper_bounds, value)].inc(count)
        self._counts.clear()
