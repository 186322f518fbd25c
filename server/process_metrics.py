"""process_* series of a server that is several processes: one value for all of them, whichever answers the scrape."""

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from prometheus_client.metrics_core import Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

EARLIEST = frozenset(("process_start_time_seconds", "process_max_fds"))
"""Where the smallest value speaks for all; of the others it is the sum."""


class WithProcesses(Collector):
    """A registry's families, and after them those of the API servers and of the process that started them."""

    def __init__(self, shown: Collector, folder: Path) -> None:
        """`folder` is where the metrics library keeps a file for each process."""
        self._shown, self._folder = shown, folder

    def collect(self) -> Iterable[Metric]:
        yield from self._shown.collect()
        pids = {os.getppid(), *(int(file.stem.rpartition("_")[2]) for file in self._folder.glob("*_*.db"))}
        yield from summed([_families(pid) for pid in sorted(pids)])


def _families(pid: int) -> list[Metric]:
    return list(ProcessCollector(pid=lambda: pid, registry=None).collect())


def summed(processes: Sequence[Sequence[Metric]]) -> Iterable[Metric]:
    """One family of each name. A process that is gone has none."""
    by_name: dict[str, list[Metric]] = {}
    for families in processes:
        for family in families:
            by_name.setdefault(family.name, []).append(family)
    for name, families in by_name.items():
        combine: Callable[[Iterable[float]], float] = min if name in EARLIEST else sum
        value = combine(family.samples[0].value for family in families)
        total = Metric(name, families[0].documentation, families[0].type)
        total.add_sample(families[0].samples[0].name, {}, value)
        yield total
