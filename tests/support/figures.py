"""Numbers as Grafana words them, by the unit that a panel names."""

import math
from collections.abc import Callable


def worded(value: float, unit: str | None) -> str:
    """`unit` by Grafana's name for it; none is a plain number."""
    if math.isnan(value):
        return "-"
    if unit is not None and unit.startswith("suffix:"):
        return f"{_short(value)}{unit.removeprefix('suffix:')}"
    return _UNITS.get(unit or "short", _short)(value)


def _short(value: float) -> str:
    for scale, letter in ((1e9, " Bil"), (1e6, " Mil"), (1e3, " K")):
        if abs(value) >= scale:
            return f"{_digits(value / scale)}{letter}"
    return _digits(value)


def _digits(value: float) -> str:
    """Three significant ones, without zeros at the end."""
    if value == 0 or abs(value) >= 100:
        return f"{value:.0f}"
    decimals = max(0, 2 - math.floor(math.log10(abs(value))))
    text = f"{value:.{min(decimals, 6)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _seconds(value: float) -> str:
    for scale, name in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if abs(value) >= scale:
            return f"{_digits(value / scale)} {name}"
    return f"{_digits(value)} s"


def _bytes(value: float) -> str:
    for power, name in ((3, "GiB"), (2, "MiB"), (1, "KiB")):
        if abs(value) >= 1024**power:
            return f"{_digits(value / 1024**power)} {name}"
    return f"{_digits(value)} B"


_UNITS: dict[str, Callable[[float], str]] = {
    "short": _short,
    "s": _seconds,
    "bytes": _bytes,
    "percentunit": lambda value: f"{_digits(100 * value)}%",
    "ops": lambda value: f"{_short(value)} ops/s",
    "reqps": lambda value: f"{_short(value)} req/s",
}
