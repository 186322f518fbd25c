"""Series as Prometheus' text format, version 0.0.4: the library's text at half of its cost.

Of a line only the value changes between scrapes. The rest, escaped by rule, is written once and kept.
"""

from collections.abc import Iterable

from prometheus_client import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

MOST_KEPT = 10_000
"""Lines; labels such as the names of adapters in use change for ever."""

_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})
LabelSet = tuple[tuple[str, str], ...]


class Exposition:
    """Writes pages of one registry. Names are ours, valid and without `_created`; label values may be anything."""

    def __init__(self) -> None:
        self._heads: dict[str, str] = {}
        self._starts: dict[tuple[str, LabelSet], str] = {}

    def page(self, shown: Collector) -> bytes:
        if len(self._starts) > MOST_KEPT:
            self._starts.clear()
        return "".join(part for family in shown.collect() for part in self._parts(family)).encode()

    def _parts(self, family: Metric) -> Iterable[str]:
        head = self._heads.get(family.name)
        if head is None:
            head = self._heads[family.name] = _head(family)
        yield head
        for sample in family.samples:
            labels = tuple(sample.labels.items())
            start = self._starts.get((sample.name, labels))
            if start is None:
                start = self._starts[sample.name, labels] = _start(sample.name, labels)
            yield f"{start}{_number(sample.value)}\n"


class _Empty(Collector):
    def __init__(self, family: Metric) -> None:
        self._family = Metric(family.name, family.documentation, family.type)

    def collect(self) -> Iterable[Metric]:
        yield self._family


def _head(family: Metric) -> str:
    """Help and type, as the library words them."""
    return generate_latest(_Empty(family)).decode()


def _number(value: float) -> str:
    if -1e6 < value < 1e6:  # written alike in Python and in Go
        return repr(float(value))
    text: str = floatToGoString(value)  # type: ignore[no-untyped-call]
    return text


def _start(name: str, labels: LabelSet) -> str:
    """A line up to its value; labels in the library's order."""
    if not labels:
        return f"{name} "
    written = ",".join(f'{label}="{value.translate(_ESCAPES)}"' for label, value in sorted(labels))
    return f"{name}{{{written}}} "
