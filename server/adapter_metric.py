"""vllm:lora_requests_info: which adapters are in use, told in labels and therefore made when somebody scrapes."""

import time
from collections.abc import Iterable, Sequence

from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from paddock.engine.messages import EngineStats
from paddock.server.metric_table import ADAPTERS, EXPORTED


class WithAdapters(Collector):
    """A registry's families, and after them the adapters of the engines' last steps."""

    def __init__(self, shown: Collector, max_loras: int, stats: Sequence[EngineStats]) -> None:
        self._shown, self._max_loras, self._stats = shown, max_loras, stats

    def collect(self) -> Iterable[Metric]:
        yield from self._shown.collect()
        declared = EXPORTED[ADAPTERS]
        running = {name for stats in self._stats for name in stats.running_adapters}
        waiting = {name for stats in self._stats for name in stats.waiting_adapters}
        values = (str(self._max_loras), ",".join(sorted(running)), ",".join(sorted(waiting)))
        family = Metric(ADAPTERS, declared.meaning, "gauge")
        family.add_sample(ADAPTERS, dict(zip(declared.labels, values, strict=True)), time.time())
        yield family
