"""Several processes' series as one, against the metrics library's own collector over the same files."""

import os
import subprocess
import sys
from pathlib import Path

from prometheus_client import generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from paddock.server.shared_series import SharedSeries

WORK = """
import sys
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Summary
scale, registry = int(sys.argv[1]), CollectorRegistry()
counter = Counter("asked", "How often", ["who"], registry=registry)
gauge = Gauge("depth", "Now", ["who"], registry=registry, multiprocess_mode="mostrecent")
histogram = Histogram("took", "Seconds", ["who"], registry=registry, buckets=[0.1, 1, 10])
summary = Summary("size", "Bytes", registry=registry)
plain = Histogram("plain", "No labels", registry=registry, buckets=[2, 20])
for number in range(5):
    for who in ("a", "b")[: scale]:
        counter.labels(who).inc(scale)
        gauge.labels(who).set(number * scale)
        histogram.labels(who).observe(number * scale)
    summary.observe(number * scale)
    plain.observe(number * scale)
"""


def lines(page: bytes) -> list[str]:
    return sorted(page.decode().splitlines())


def test_pages_have_the_lines_of_the_librarys_collector(tmp_path: Path) -> None:
    environ = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    shared = SharedSeries(tmp_path)
    for scale in (1, 2, 3):
        subprocess.run([sys.executable, "-c", WORK, str(scale)], env=environ, check=True)
        theirs = MultiProcessCollector(None, str(tmp_path))  # type: ignore[no-untyped-call]
        assert lines(generate_latest(shared)) == lines(generate_latest(theirs))
    assert 'took_bucket{le="1.0",who="b"} 2.0' in lines(generate_latest(shared))
