"""Makes the series of the table in a registry, bound to their labels once: observing takes no look-up."""

from collections.abc import Callable
from typing import Any, Literal, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Summary, disable_created_metrics

from paddock.engine.config import CacheConfig
from paddock.engine.messages import Ready
from paddock.server.metric_table import EXPORTED, MODEL, Metric

F = TypeVar("F", Counter, Gauge, Histogram, Summary)
CACHE_INFO = "vllm:cache_config_info"


def one_two_five(limit: int) -> list[int]:
    """1, 2, 5, 10, 20, 50, … up to `limit`: the bucket bounds of token counts."""
    bounds: list[int] = []
    scale = 1
    while scale <= limit:
        bounds += [scale * step for step in (1, 2, 5) if scale * step <= limit]
        scale *= 10
    return bounds


class Total:
    """A counter that can also be read: the periodic log line shows rates."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self.value = 0

    def inc(self, amount: int) -> None:
        self.value += amount
        self._counter.inc(amount)


class Series:
    """Series by their name in the table. Those with the labels of a model come with them set."""

    def __init__(self, registry: CollectorRegistry, model_name: str, engine: int = 0) -> None:
        """`engine` is its data-parallel rank."""
        # A second line per series, of no use where counters are read by their growth.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = registry
        self.engine = str(engine)
        self._model = (model_name, self.engine)
        self._families: dict[str, Any] = {}

    def of_engine(self, engine: int) -> "Series":
        """Those of another engine: the same families, with another label."""
        other = Series(self._registry, self._model[0], engine)
        other._families = self._families
        return other

    def _family(self, name: str, make: Callable[[], F]) -> F:
        if name not in self._families:
            self._families[name] = make()
        family: F = self._families[name]
        return family

    def gauge(self, name: str) -> Gauge:
        metric = _of(name, "gauge")
        gauge = self._gauge(name, metric)
        labelled = gauge.labels(*self._model)
        labelled.set(0)  # of several processes' values the one set last counts; never set would be absent
        return labelled

    def info(self, name: str, values: dict[str, str]) -> None:
        """A constant 1; `values` in the order of the table's labels."""
        gauge = self._gauge(name, _of(name, "gauge"))
        gauge.labels(**values).set(1)

    def total(self, name: str) -> Total:
        return Total(self.counter(name).labels(*self._model))

    def counter(self, name: str) -> Counter:
        """With its labels still to be given."""
        metric = _of(name, "counter")
        return self._family(
            name,
            lambda: Counter(
                name.removesuffix("_total"), metric.meaning, metric.labels, registry=self._registry
            ),
        )

    def histogram(self, name: str, longest_context: int = 0) -> Histogram:
        metric = _of(name, "histogram")
        buckets = one_two_five(longest_context) if metric.buckets == "context" else metric.buckets
        histogram = self._family(
            name,
            lambda: Histogram(name, metric.meaning, metric.labels, registry=self._registry, buckets=buckets),
        )
        return histogram.labels(*self._model) if metric.labels == MODEL else histogram

    def summary(self, name: str) -> Summary:
        metric = _of(name, "summary")
        return Summary(name, metric.meaning, metric.labels, registry=self._registry)

    def _gauge(self, name: str, metric: Metric) -> Gauge:
        return self._family(
            name,
            lambda: Gauge(
                name, metric.meaning, metric.labels, registry=self._registry, multiprocess_mode="mostrecent"
            ),
        )


def _of(name: str, kind: Literal["gauge", "counter", "histogram", "summary"]) -> Metric:
    metric = EXPORTED[name]
    assert metric.kind == kind, f"{name} is a {metric.kind}"
    return metric


def cache_labels(cache: CacheConfig, ready: Ready) -> dict[str, str]:
    """The labels of the cache's info series, without the engine: the settings, and what was made of them."""
    return {name: str(value) for name, value in cache if name in EXPORTED[CACHE_INFO].labels} | {
        "block_size": str(ready.block_size),
        "cache_dtype": ready.model_dtype if cache.kv_cache_dtype == "auto" else cache.kv_cache_dtype,
        "enable_prefix_caching": str(cache.enable_prefix_caching is not False),
        "num_gpu_blocks": str(ready.num_blocks),
    }
