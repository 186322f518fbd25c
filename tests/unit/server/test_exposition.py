"""Our page of series against the library's, and what it says of a server that is several processes."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Summary,
    disable_created_metrics,
    generate_latest,
)

from paddock.server.exposition import MOST_KEPT, Exposition
from paddock.server.process_metrics import WithProcesses


@settings(max_examples=25, deadline=None)
@given(
    labels=st.dictionaries(st.sampled_from(["b", "a", "le_x"]), st.text(), max_size=3),
    values=st.lists(st.floats() | st.integers(), min_size=1),
)
def test_pages_equal_the_librarys(labels: dict[str, str], values: list[float]) -> None:
    disable_created_metrics()
    registry, exposition = CollectorRegistry(), Exposition()
    gauge, histogram, summary, counter = (
        kind(kind.__name__.lower(), "back\\slash\nand line", list(labels), registry=registry)
        for kind in (Gauge, Histogram, Summary, Counter)
    )
    for value in values:
        _of(gauge, labels).set(value)
        _of(histogram, labels).observe(value)
        _of(summary, labels).observe(value)
        _of(counter, labels).inc()
        assert exposition.page(registry) == generate_latest(registry)


def _of(series: Any, labels: dict[str, str]) -> Any:
    return series.labels(**labels) if labels else series


def test_labels_that_change_for_ever_are_not_kept_for_ever() -> None:
    registry = CollectorRegistry()
    gauge, exposition = Gauge("g", "", ["name"], registry=registry), Exposition()
    for number in range(MOST_KEPT + 2):
        gauge.labels(str(number))
    exposition.page(registry)
    gauge.clear()
    exposition.page(registry)
    assert not exposition._starts


def test_several_processes_have_one_value_of_each_series(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as beside:
        for pid in (os.getpid(), beside.pid, 2**22 + 1):  # the last one is gone
            (tmp_path / f"counter_{pid}.db").touch()
        (tmp_path / f"gauge_mostrecent_{beside.pid}.db").touch()
        families = {family.name: family for family in WithProcesses(CollectorRegistry(), tmp_path).collect()}
        everyone = [os.getpid(), beside.pid, os.getppid()]
        started = [Path(f"/proc/{pid}").stat().st_ctime for pid in everyone]
    [[sample], [earliest]] = (
        families[f"process_{name}"].samples for name in ("open_fds", "start_time_seconds")
    )
    assert sample.value >= 3 * len(everyone)
    assert earliest.value <= min(started) + 1
    assert families["process_cpu_seconds"].type == "counter"
