"""The kinds of panels that the dashboards have, each drawn into its frame."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from figures import worded
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, MultipleLocator

TEXT, DIM, GRID = "#d8d9da", "#8e9196", "#26282d"
COLORS = (
    "#73bf69",
    "#f2cc0c",
    "#5794f2",
    "#ff9830",
    "#f2495c",
    "#b877d9",
    "#37872d",
    "#8ab8ff",
    "#e0b400",
    "#fade2a",
)
NAMED = {"green": "#73bf69", "red": "#f2495c", "orange": "#ff9830", "yellow": "#f2cc0c"}
HEAT = LinearSegmentedColormap.from_list("heat", ["#1c3557", "#2f6fb2", "#8ab8ff", "#e8f1ff"])
LINE, MOST_LEGENDS, MOST_ROWS = 17, 4, 12


@dataclass(frozen=True)
class Series:
    """`points`: seconds since the epoch, and the value as text."""

    name: str
    labels: Mapping[str, str]
    points: Sequence[Sequence[Any]]

    def values(self) -> list[float]:
        return [float(value) for _, value in self.points]

    def times(self) -> list[float]:
        return [float(time) for time, _ in self.points]


@dataclass(frozen=True)
class Frame:
    """The inside of a panel, in pixels of the page."""

    figure: Figure
    left: float
    bottom: float
    width: float
    height: float
    page_width: float
    page_height: float

    def axes(self, left: float, bottom: float, width: float, height: float) -> Axes:
        """At these pixels from the panel's lower left corner."""
        return self.figure.add_axes(
            (
                (self.left + left) / self.page_width,
                (self.bottom + bottom) / self.page_height,
                width / self.page_width,
                height / self.page_height,
            )
        )

    def text(self, left: float, bottom: float, text: str, color: str = TEXT, **style: Any) -> None:
        self.figure.text(
            (self.left + left) / self.page_width, (self.bottom + bottom) / self.page_height, text,
            color=color, **{"fontsize": 8, "va": "center", **style},
        )  # fmt: skip


def timeseries(frame: Frame, panel: Mapping[str, Any], found: Sequence[Series]) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    unit = defaults.get("unit")
    shown = min(len(found), MOST_LEGENDS)
    below = 34 + LINE * (shown + 1)
    axes = frame.axes(64, below, frame.width - 80, frame.height - below - 4)
    highest = _lines(axes, defaults["custom"], found)
    top = defaults.get("max")
    axes.set_ylim(bottom=defaults.get("min"), top=top)
    if top is None and highest == 0:
        axes.set_ylim(0, 1)
    _style(axes, unit)
    _legends(frame, found, unit, below - 34)


def _lines(axes: Axes, custom: Mapping[str, Any], found: Sequence[Series]) -> float:
    """Draw them, on top of each other where they are stacked; the highest point."""
    stacked = custom.get("stacking", {}).get("mode") == "normal"
    below: dict[float, float] = {}
    highest = 0.0
    for at, series in enumerate(found):
        times, color = series.times(), COLORS[at % len(COLORS)]
        bases = [below.get(time, 0.0) if stacked else 0.0 for time in times]
        values = [base + value for base, value in zip(bases, series.values(), strict=True)]
        axes.plot(times, values, color=color, linewidth=1.2)
        axes.fill_between(times, bases, values, color=color, alpha=custom["fillOpacity"] / 100, linewidth=0)
        below.update(zip(times, values, strict=True))
        highest = max([highest, *(value for value in values if not math.isnan(value))])
    return highest


def _legends(frame: Frame, found: Sequence[Series], unit: str | None, top: float) -> None:
    columns = (frame.width - 130, frame.width - 20)
    for left, title in zip((14.0, *columns), ("Name", "Last *", "Max"), strict=True):
        frame.text(left, top - 4, title, "#6e9fff", ha="left" if left == 14 else "right", fontsize=7.5)
    for at, series in enumerate(found[:MOST_LEGENDS]):
        y = top - 4 - LINE * (at + 1)
        values = [value for value in series.values() if not math.isnan(value)]
        more = f"   (and {len(found) - MOST_LEGENDS} more)" if at == MOST_LEGENDS - 1 < len(found) - 1 else ""
        frame.text(14, y, "━", COLORS[at % len(COLORS)])
        frame.text(30, y, _cut(series.name, frame.width - 240) + more)
        for right, value in zip(columns, (values[-1:], [max(values)] if values else []), strict=True):
            frame.text(right, y, worded(value[0], unit) if value else "-", ha="right")


def stat(frame: Frame, panel: Mapping[str, Any], found: Sequence[Series]) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    values = found[0].values() if found else [math.nan]
    color = _threshold(defaults, values[-1]) if panel["options"]["colorMode"] == "value" else TEXT
    if found and panel["options"]["graphMode"] == "area":
        axes = frame.axes(1, 1, frame.width - 2, frame.height * 0.4)
        axes.fill_between(found[0].times(), values, color=color, alpha=0.18, linewidth=0)
        axes.plot(found[0].times(), values, color=color, alpha=0.5, linewidth=1)
        axes.set_ylim(0, max(1e-9, max(values) * 1.1))
        axes.margins(x=0)
        axes.axis("off")
    frame.text(
        frame.width / 2, frame.height * 0.58, worded(values[-1], defaults.get("unit")), color,
        fontsize=22, ha="center",
    )  # fmt: skip


def _threshold(defaults: Mapping[str, Any], value: float) -> str:
    color = "green"
    for step in defaults["thresholds"]["steps"]:
        if step["value"] is None or value >= step["value"]:
            color = step["color"]
    return NAMED.get(color, color)


def table(frame: Frame, panel: Mapping[str, Any], found: Sequence[Series]) -> None:
    hidden = {
        name
        for change in panel.get("transformations", ())
        for name, left_out in change["options"]["excludeByName"].items()
        if left_out
    }
    names = [name for name in sorted({name for one in found for name in one.labels}) if name not in hidden]
    columns = [*names, *([] if "Value" in hidden else ["Value"])]
    cells = [{**one.labels, "Value": worded(one.values()[-1], None)} for one in found]
    rows = [[each.get(column, "") for column in columns] for each in cells]
    room = min(MOST_ROWS, int((frame.height - LINE) / (LINE + 3)) - 1)
    longest = [max(len(text) for text in column) + 2 for column in zip(columns, *rows[:room], strict=True)]
    left = 12.0
    for at, column in enumerate(columns):
        width = (frame.width - 20) * longest[at] / sum(longest)
        frame.text(left, frame.height - 12, _cut(column, width), "#6e9fff", fontsize=7.5)
        for line, row in enumerate(rows[:room]):
            frame.text(left, frame.height - 12 - (LINE + 3) * (line + 1), _cut(row[at], width))
        left += width
    if len(rows) > room:
        frame.text(12, 9, f"and {len(rows) - room} more", DIM, fontsize=7.5)


def heatmap(frame: Frame, panel: Mapping[str, Any], found: Sequence[Series]) -> None:
    """Each bucket's own count: what Prometheus answers holds the smaller ones, too."""
    buckets = sorted(found, key=lambda one: float(one.labels["le"]))
    times = sorted({time for one in buckets for time in one.times()})
    counts = np.zeros((len(buckets), len(times)))
    for row, one in enumerate(buckets):
        for time, value in zip(one.times(), one.values(), strict=True):
            counts[row, times.index(time)] = value
    own = np.diff(counts, axis=0, prepend=0.0).clip(min=0)
    used = np.flatnonzero(own.sum(axis=1) > 0)
    first, last = (max(0, used[0] - 1), min(len(buckets), used[-1] + 2)) if used.size else (0, len(buckets))
    axes = frame.axes(64, 30, frame.width - 80, frame.height - 36)
    axes.pcolormesh(
        times,
        np.arange(last - first),
        np.ma.masked_less_equal(own[first:last], 0),
        cmap=HEAT,
        shading="nearest",
    )
    labels = [one.labels["le"] for one in buckets[first:last]]
    _style(axes, None)
    axes.set_yticks(range(len(labels)), [label.removesuffix(".0") for label in labels])


def _style(axes: Axes, unit: str | None) -> None:
    axes.set_facecolor("none")
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.margins(x=0)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.tick_params(colors=DIM, labelsize=7.5, length=0)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    low, high = axes.get_ylim()
    axes.yaxis.set_major_locator(
        MultipleLocator(2 ** math.ceil(math.log2((high - low) / 5)))
        if unit == "bytes"
        else MaxNLocator(5, min_n_ticks=3)
    )
    axes.xaxis.set_major_formatter(
        FuncFormatter(lambda value, _: datetime.fromtimestamp(value, UTC).strftime("%H:%M:%S"))
    )
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: worded(value, unit)))


def _cut(text: str, pixels: float) -> str:
    most = int(pixels / 6.2)
    return text if len(text) <= most else text[: most - 1] + "…"


DRAWN: Mapping[str, Callable[[Frame, Mapping[str, Any], Sequence[Series]], None]] = {
    "timeseries": timeseries,
    "stat": stat,
    "table": table,
    "heatmap": heatmap,
}
