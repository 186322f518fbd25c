"""What a replica's `/metrics` says about its load, and how the replicas' figures make one. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from prometheus_client.parser import text_string_to_metric_families

WINDOW_SECONDS = 60.0
SHORTEST_SECONDS = 5.0
"""Rates are taken over the last minute, and over no less than a few seconds."""

_GAUGES = {
    "requests_waiting": "vllm:num_requests_waiting",
    "requests_running": "vllm:num_requests_running",
    "kv_cache_usage": "vllm:kv_cache_usage_perc",
}
_SHARE = _GAUGES["kv_cache_usage"]
_TOKENS = "vllm:generation_tokens_total"
_FIRST_SUM, _FIRST_COUNT = "vllm:time_to_first_token_seconds_sum", "vllm:time_to_first_token_seconds_count"
READ_SERIES = {*_GAUGES.values(), _TOKENS, _FIRST_SUM, _FIRST_COUNT}
METRICS = (*_GAUGES, "tokens_per_second", "time_to_first_token")

Sample = Mapping[str, float]


class NotMeasured(Exception):
    """A figure cannot be given now; the text says why."""


def read_sample(text: str) -> Sample:
    """Series of one API by name, summed over labels; a share is the mean of its engines.

    Raises ValueError for what is no Prometheus text.
    """
    totals: dict[str, float] = {}
    shares = 0
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name in READ_SERIES:
                totals[sample.name] = totals.get(sample.name, 0.0) + sample.value
                shares += sample.name == _SHARE
    return {name: total / shares if name == _SHARE else total for name, total in totals.items()}


@dataclass
class History:
    """Samples of one pod within the window, oldest first, as (time in seconds, sample)."""

    samples: deque[tuple[float, Sample]] = field(default_factory=deque)

    def add(self, now: float, sample: Sample) -> None:
        while self.samples and now - self.samples[0][0] > WINDOW_SECONDS:
            self.samples.popleft()
        self.samples.append((now, sample))

    def gauge(self, series: str) -> float:
        latest = self.samples[-1][1]
        if series not in latest:
            raise NotMeasured(f"a replica does not report {series}")
        return latest[series]

    def growth(self, series: str) -> tuple[float, float]:
        """By how much a counter grew in the window, and the seconds in which it did."""
        (start, before), (end, after) = self.samples[0], self.samples[-1]
        if end - start < SHORTEST_SECONDS:
            raise NotMeasured(f"{series} was read for the first time only a moment ago")
        return max(0.0, after.get(series, 0.0) - before.get(series, 0.0)), end - start


def value_of(metric: str, histories: Iterable[History], groups: int | None = None) -> float:
    """The figure of a whole service, of `groups` replicas: as many as histories, unless a replica has several APIs.

    Raises NotMeasured.
    """
    replicas = list(histories)
    if metric == "kv_cache_usage":
        # The autoscaler divides by the replicas, and the share of one stays within 1.
        return sum(each.gauge(_SHARE) for each in replicas) * (groups or len(replicas)) / len(replicas)
    if metric in _GAUGES:
        return sum(replica.gauge(_GAUGES[metric]) for replica in replicas)
    if metric == "tokens_per_second":
        return sum(tokens / seconds for tokens, seconds in (each.growth(_TOKENS) for each in replicas))
    waited = sum(each.growth(_FIRST_SUM)[0] for each in replicas)
    requests = sum(each.growth(_FIRST_COUNT)[0] for each in replicas)
    return waited / requests if requests else 0.0
