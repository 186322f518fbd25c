"""Deprecated metrics, for dashboards that still query them: made from their successors when somebody scrapes."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from paddock.engine.messages import EngineStats
from paddock.server.metric_table import DEPRECATED, MODEL

RENAMED = {
    "vllm:kv_cache_usage_perc": "vllm:gpu_cache_usage_perc",
    "vllm:prefix_cache_queries": "vllm:gpu_prefix_cache_queries",
    "vllm:prefix_cache_hits": "vllm:gpu_prefix_cache_hits",
    "vllm:inter_token_latency_seconds": "vllm:time_per_output_token_seconds",
    "vllm:request_queue_time_seconds": "vllm:time_in_queue_requests",
}
"""Successor to old name, as families are named: without the _total of counters."""

NO_HITS = "vllm:cpu_prefix_cache_hit_rate"
SWAPPED, SWAP_USAGE = "vllm:num_requests_swapped", "vllm:cpu_cache_usage_perc"
HIT_RATE = "vllm:gpu_prefix_cache_hit_rate"
THROUGHPUT = ("vllm:avg_prompt_throughput_toks_per_s", "vllm:avg_generation_throughput_toks_per_s")


class WithHidden(Collector):
    """A registry's families, and after them the deprecated ones in `names`."""

    def __init__(
        self, shown: Collector, names: frozenset[str], model_name: str, every: Sequence[EngineStats]
    ) -> None:
        """`every` has the last word of each engine."""
        self._shown, self._every = shown, every
        self._names = names
        self._model_name = model_name

    def collect(self) -> Iterable[Metric]:
        families = {family.name: family for family in self._shown.collect()}
        yield from families.values()
        for successor, old in RENAMED.items():
            if successor in families and _wire_name(old, families[successor]) in self._names:
                yield _renamed(families[successor], old)
        values = {
            NO_HITS: -1.0,
            SWAPPED: sum(stats.num_swapped for stats in self._every),
            SWAP_USAGE: sum(stats.swap_space_usage for stats in self._every) / max(1, len(self._every)),
        }
        for name in values.keys() & self._names:
            yield self._of_model(name, values[name])
        if HIT_RATE in self._names:
            yield self._of_model(HIT_RATE, _hit_rate(families))

    def _of_model(self, name: str, value: float) -> Metric:
        family = Metric(name, DEPRECATED[name].metric.meaning, "gauge")
        family.add_sample(name, {"model_name": self._model_name}, value)
        return family


def _wire_name(name: str, family: Metric) -> str:
    return f"{name}_total" if family.type == "counter" else name


def _renamed(family: Metric, old: str) -> Metric:
    declared = DEPRECATED[_wire_name(old, family)].metric
    copy = Metric(old, declared.meaning, family.type)
    dropped = set(MODEL) - set(declared.labels)
    sums: defaultdict[tuple[str, tuple[tuple[str, str], ...]], float] = defaultdict(float)
    for sample in family.samples:
        labels = tuple(item for item in sample.labels.items() if item[0] not in dropped)
        sums[old + sample.name.removeprefix(family.name), labels] += sample.value
    copy.samples = [Sample(name, dict(labels), value) for (name, labels), value in sums.items()]
    return copy


def _hit_rate(families: dict[str, Metric]) -> float:
    queries, hits = (
        sum(sample.value for sample in families[name].samples)
        for name in ("vllm:prefix_cache_queries", "vllm:prefix_cache_hits")
    )
    return hits / queries if queries else 0.0
