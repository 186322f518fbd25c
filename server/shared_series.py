"""The series of several API servers as one: sums, and of gauges the value that was set last.

As the metrics library's own collector reads them, at a fifth of its cost: what a key of its files says is read once.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path

from prometheus_client.metrics_core import Metric
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.registry import Collector


@dataclass(frozen=True, slots=True)
class Key:
    """What the files call a series."""

    family: str
    sample: str
    labels: dict[str, str]
    meaning: str
    kind: str
    bound: float | None
    """Of a bucket, which the files hold without the smaller ones."""

    @staticmethod
    def read(text: str, kind: str) -> "Key":
        family, sample, labels, meaning = json.loads(text)
        bound = float(labels["le"]) if kind == "histogram" and "le" in labels else None
        return Key(family, sample, dict(sorted(labels.items())), meaning, kind, bound)


class SharedSeries(Collector):
    def __init__(self, folder: Path) -> None:
        """`folder` is where the library keeps a file for each process and kind of series."""
        self._folder = folder
        self._keys: dict[str, Key] = {}

    def collect(self) -> Iterable[Metric]:
        families: dict[str, tuple[Metric, list[tuple[Key, float]]]] = {}
        for key, value in self._values():
            if key.family not in families:
                families[key.family] = (Metric(key.family, key.meaning, key.kind), [])
            families[key.family][1].append((key, value))
        for family, found in families.values():
            _add(family, found)
            yield family

    def _values(self) -> Iterator[tuple[Key, float]]:
        values: dict[str, float] = {}
        set_at: dict[str, float] = {}
        for file in self._folder.glob("*.db"):
            kind = file.name.partition("_")[0]
            for text, value, stamp, _ in MmapedDict.read_all_values_from_file(str(file)):  # type: ignore[no-untyped-call]
                if text not in self._keys:
                    self._keys[text] = Key.read(text, kind)
                if kind != "gauge":
                    values[text] = values.get(text, 0.0) + value
                elif stamp > set_at.get(text, 0.0):
                    values[text], set_at[text] = value, stamp
        for text, value in values.items():
            yield self._keys[text], value


def _add(family: Metric, found: list[tuple[Key, float]]) -> None:
    """Buckets after all else, each with the smaller ones; the last one is the count."""
    buckets: dict[tuple[str, ...], list[tuple[float, Key, float]]] = {}
    for key, value in found:
        if key.bound is None:
            family.add_sample(key.sample, key.labels, value)
        else:
            others = tuple(text for label, text in key.labels.items() if label != "le")
            buckets.setdefault(others, []).append((key.bound, key, value))
    for series in buckets.values():
        total = 0.0
        for _, key, value in sorted(series, key=itemgetter(0)):
            total += value
            family.add_sample(key.sample, key.labels, total)
        rest = {label: text for label, text in series[0][1].labels.items() if label != "le"}
        family.add_sample(f"{family.name}_count", rest, total)
