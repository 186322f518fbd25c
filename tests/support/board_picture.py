"""A picture of a Grafana dashboard: its panels where they stand, with what a real Prometheus answers to their queries.

Drawn from the dashboard's own JSON, so that it shows what Grafana would of units, legends, thresholds and layout.
"""

import io
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from monitoring import Prometheus, Query
from panel_pictures import DRAWN, Frame, Series
from PIL import Image

CELL, GAP, COLUMNS = 30, 8, 24
"""Pixels: Grafana's own, for the height of a cell and what is between panels."""
WIDTH, HEAD = 1560, 56
DOTS_PER_INCH = 100
PAGE, PANEL, EDGE, TEXT, DIM = "#111217", "#181b1f", "#2c3235", "#d8d9da", "#8e9196"
STEPS = 150


@dataclass(frozen=True)
class Window:
    """Seconds since the epoch."""

    start: float
    end: float

    @property
    def step(self) -> float:
        return max(1.0, (self.end - self.start) / STEPS)


def draw(board: Path, prometheus: Prometheus, window: Window, target: Path) -> None:
    """Write a PNG."""
    document = json.loads(board.read_text(encoding="utf-8"))
    panels = document["panels"]
    cells = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels)
    height = HEAD + cells * (CELL + GAP) + GAP
    figure = Figure(figsize=(WIDTH / DOTS_PER_INCH, height / DOTS_PER_INCH), facecolor=PAGE)
    _head(figure, document, prometheus, height)
    for panel in panels:
        box = _box(panel["gridPos"], height)
        if panel["type"] == "row":
            figure.text(
                box.left / WIDTH, (box.bottom + box.height / 2) / height, "⌄  " + panel["title"],
                color=TEXT, fontsize=11, va="center",
            )  # fmt: skip
            continue
        frame = _panel(figure, panel, box, height)
        DRAWN[panel["type"]](frame, panel, _answers(panel, prometheus, window))
    _save(figure, target)


def _save(figure: Figure, target: Path) -> None:
    """With as many colours as such a picture has: a third of the bytes."""
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=DOTS_PER_INCH, facecolor=PAGE)
    Image.open(drawn).convert("RGB").quantize(256).save(target, optimize=True)


def _head(figure: Figure, document: dict[str, Any], prometheus: Prometheus, height: float) -> None:
    y = 1 - HEAD / 2 / height
    figure.text(2 * GAP / WIDTH, y, document["title"], color=TEXT, fontsize=14, va="center")
    left = 300.0
    for variable in document["templating"]["list"]:
        if variable["type"] != "query":
            continue
        values = _values(variable["query"]["query"], prometheus)
        shown = values[0] if len(values) == 1 else "All"
        figure.text(left / WIDTH, y, variable["name"], color="#6e9fff", fontsize=9.5, va="center")
        left += 9 * len(variable["name"]) + 14
        figure.text(left / WIDTH, y, f"{shown} ▾", color=TEXT, fontsize=9.5, va="center")
        left += 8 * len(shown) + 50


def _values(query: str, prometheus: Prometheus) -> list[str]:
    found = re.fullmatch(r"label_values\((.+), (\w+)\)", Query("", query).filled_in())
    assert found is not None, query
    series, label = found.groups()
    return sorted(
        {
            each["metric"][label]
            for each in prometheus.ask(f"last_over_time({series}[1h])")
            if label in each["metric"]
        }
    )


@dataclass(frozen=True)
class _Box:
    """In pixels from the lower left corner."""

    left: float
    bottom: float
    width: float
    height: float


def _box(place: dict[str, int], height: float) -> _Box:
    unit = (WIDTH - GAP) / COLUMNS
    top = HEAD + place["y"] * (CELL + GAP)
    tall = place["h"] * (CELL + GAP) - GAP
    return _Box(GAP + place["x"] * unit, height - top - tall, place["w"] * unit - GAP, tall)


def _panel(figure: Figure, panel: dict[str, Any], box: _Box, height: float) -> Frame:
    figure.add_artist(
        FancyBboxPatch(
            (box.left / WIDTH, box.bottom / height), box.width / WIDTH, box.height / height,
            boxstyle="square,pad=0", facecolor=PANEL, edgecolor=EDGE, linewidth=0.8,
            transform=figure.transFigure, zorder=-1,
        )
    )  # fmt: skip
    figure.text(
        (box.left + 10) / WIDTH, (box.bottom + box.height - 16) / height, panel["title"],
        color=TEXT, fontsize=9.5, va="center",
    )  # fmt: skip
    return Frame(figure, box.left, box.bottom, box.width, box.height - 30, WIDTH, height)


def _answers(panel: dict[str, Any], prometheus: Prometheus, window: Window) -> list[Series]:
    found: list[Series] = []
    for target in panel["targets"]:
        expression = Query(panel["title"], target["expr"]).filled_in("15s")
        if target["instant"]:
            rows = prometheus.ask(expression, window.end)
            found += [Series("", row["metric"], [row["value"]]) for row in rows]
            continue
        for row in prometheus.ask_range(expression, window.start, window.end, window.step):
            name = _legend(target["legendFormat"], row["metric"], target["expr"])
            found.append(Series(name, row["metric"], row["values"]))
    return found


def _legend(form: str, labels: dict[str, str], expression: str) -> str:
    if form == "__auto":
        return ", ".join(f"{name}={value}" for name, value in labels.items()) or expression
    return re.sub(r"{{\s*(\w+)\s*}}", lambda found: labels.get(found[1], ""), form)
