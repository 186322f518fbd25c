"""Dashboards and rules ask only for what we export, by labels that are there, and come out of the chart unharmed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from monitoring import DASHBOARDS, RULES, Query, panel_queries, panels, rule_queries, rules, variable_queries
from promql import named_in

from paddock.operator.metrics import Metrics, Vitals
from paddock.server.metric_table import EXPORTED

Render = Callable[..., str]
ROOT = Path(__file__).parents[3]
BOARDS = sorted(DASHBOARDS.glob("*.json"))
TARGET = frozenset(("namespace", "inference_service", "group", "pod", "instance", "job"))
"""Set by whoever scrapes: our PodMonitors do, and docs/runbook.md shows it for a plain Prometheus."""

SUFFIXES = {"histogram": ("_bucket", "_sum", "_count"), "summary": ("_sum", "_count")}
ON = ["--set", "crds.install=false,monitoring.dashboards.enabled=true,monitoring.rules.enabled=true"]


def series_of(name: str, kind: str, labels: frozenset[str]) -> dict[str, frozenset[str]]:
    found = {name + suffix: labels for suffix in SUFFIXES.get(kind, ("",))}
    return {each: have | {"le"} if each.endswith("_bucket") else have for each, have in found.items()}


def of_operator() -> dict[str, frozenset[str]]:
    metrics = Metrics(Vitals(leading=True))
    metrics.follow_queue(lambda: 0, lambda: 0)
    metrics.follow_recorder(lambda: 0)
    condition = {"type": "Available", "status": "True", "reason": "Serving"}
    metrics.services.saw(("ns", "it"), {"replicas": 1, "readyReplicas": 1, "conditions": [condition]})
    metrics.reconciles.labels("settled")
    metrics.requested("get", 200, "/api/v1/pods")
    metrics.watch_events.labels("pods")
    series: dict[str, frozenset[str]] = {}
    for family in metrics.registry.collect():
        for sample in family.samples:
            series[sample.name] = series.get(sample.name, frozenset()) | frozenset(sample.labels)
    return series


def exported() -> dict[str, frozenset[str]]:
    series = of_operator()
    for name, metric in EXPORTED.items():
        series |= series_of(name, metric.kind, frozenset(metric.labels))
    recorded = [rule["record"] for rule in rules() if "record" in rule]
    return series | dict.fromkeys(recorded, frozenset[str]())


SERIES = exported()
QUERIES = [query for board in BOARDS for query in panel_queries(board)] + rule_queries()
VARIABLES = [query for board in BOARDS for query in variable_queries(board)]


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.where)
def test_a_query_names_only_series_and_labels_that_we_export(query: Query) -> None:
    named = named_in(query.expression)

    assert named.labels
    for series, labels in named.labels.items():
        assert series in SERIES, f"{series} is not exported"
        assert labels <= SERIES[series] | TARGET, f"{series} has no {labels - SERIES[series] - TARGET}"
    everywhere = frozenset[str]().union(*(SERIES[series] for series in named.labels)) | TARGET
    assert named.grouped <= everywhere


@pytest.mark.parametrize("query", VARIABLES, ids=lambda query: query.where)
def test_a_variable_lists_values_of_a_label_that_is_there(query: Query) -> None:
    found = re.fullmatch(r"label_values\((.+), (\w+)\)", query.expression)

    assert found is not None
    [(series, labels)] = named_in(found[1]).labels.items()
    assert {found[2], *labels} <= SERIES[series] | TARGET


def test_every_metric_of_requests_and_engines_is_on_a_panel_or_in_a_rule() -> None:
    shown = {series for query in QUERIES for series in named_in(query.expression).labels}
    families = {re.sub(r"_(bucket|sum|count)$", "", series) for series in shown}

    without_a_panel = {"http_request_duration_highr_seconds", "http_response_size_bytes"}
    assert set(EXPORTED) - families - without_a_panel == set()


@pytest.mark.parametrize("board", BOARDS, ids=lambda path: path.stem)
def test_a_dashboard_can_be_narrowed_and_explains_its_panels(board: Path) -> None:
    document = json.loads(board.read_text(encoding="utf-8"))
    variables = {variable["name"] for variable in document["templating"]["list"]}
    used = set(re.findall(r"\$(\w+)", " ".join(query.expression for query in panel_queries(board))))
    places = [tuple(panel["gridPos"].items()) for panel in panels(board)]

    assert {"datasource", "namespace", "service"} <= variables
    assert board.stem == "operator" or "model" in variables
    assert used - {"__rate_interval"} <= variables
    assert document["uid"] == f"paddock-{board.stem}"
    assert len(places) == len(set(places))
    assert all(panel["description"] for panel in panels(board) if panel["type"] != "row")


def test_every_alert_has_its_chapter_in_the_runbook() -> None:
    chapters = re.findall(
        r"^### (\w+)$", (ROOT / "docs/runbook.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    alerts = [rule for rule in rules() if "alert" in rule]

    assert chapters == [alert["alert"] for alert in alerts]
    for alert in alerts:
        assert alert["annotations"]["runbook"] == f"docs/runbook.md#{alert['alert'].lower()}"
        assert {"summary", "description"} <= set(alert["annotations"])
        assert alert["labels"]["severity"] in ("critical", "warning")


def documents(rendered: str) -> dict[str, dict[str, Any]]:
    return {
        f"{item['kind']}/{item['metadata']['name']}": item for item in yaml.safe_load_all(rendered) if item
    }


def test_dashboards_come_out_as_they_went_in(render: Render) -> None:
    rendered = documents(render(*ON))
    for board in BOARDS:
        config = rendered[f"ConfigMap/paddock-dashboard-{board.stem}"]
        assert config["metadata"]["labels"]["grafana_dashboard"] == "1"
        assert json.loads(config["data"][f"paddock-{board.name}"]) == json.loads(board.read_text())


def test_rules_come_out_as_they_went_in_with_the_slo_of_the_values(render: Render) -> None:
    files = [yaml.safe_load((RULES / name).read_text()) for name in ("recording.yaml", "alerts.yaml")]
    rendered = documents(render(*ON))["PrometheusRule/paddock"]
    groups = rendered["spec"]["groups"]
    assert groups == files[0]["groups"] + files[1]["groups"]
    assert len({group["name"] for group in groups}) == len(groups)

    slo = "monitoring.slo.firstTokenSeconds=1.0,monitoring.slo.firstTokenObjective=0.95"
    data = documents(render(*ON, "--set", f"monitoring.rules.kind=ConfigMap,{slo}"))[
        "ConfigMap/paddock-rules"
    ]["data"]
    assert 'le="1.0"' in data["paddock-recording.yaml"]
    assert 'le="2.5"' not in data["paddock-recording.yaml"]
    assert "14.4 * (1 - 0.95)" in data["paddock-alerts.yaml"]
    assert "14.4 * (1 - 0.999)" in data["paddock-alerts.yaml"]


def test_monitors_give_the_labels_that_queries_need(render: Render) -> None:
    rendered = documents(render(*ON, "--set", "monitoring.podMonitors.enabled=true"))
    spec = rendered["PodMonitor/paddock-engines"]["spec"]

    targets = {one["targetLabel"] for end in spec["podMetricsEndpoints"] for one in end["relabelings"]}
    assert targets == {"inference_service", "group"}
    assert [end["port"] for end in spec["podMetricsEndpoints"]] == ["http", "https"]
    operator = rendered["PodMonitor/paddock-operator"]["spec"]["podMetricsEndpoints"]
    assert operator == [{"port": "http", "path": "/metrics", "interval": "15s", "honorLabels": True}]


def test_nothing_of_it_is_there_unless_asked_for(render: Render) -> None:
    kinds = {name.partition("/")[0] for name in documents(render("--set", "crds.install=false"))}

    assert kinds.isdisjoint({"ConfigMap", "PodMonitor", "PrometheusRule"})


@pytest.mark.parametrize(
    "value",
    ["slo.firstTokenSeconds=3", "slo.requestObjective=1.5", "rules.kind=Rule", "dashboards.folder=x"],
)
def test_a_bad_value_is_refused(helm: Callable[..., Any], chart: Path, value: str) -> None:
    refused = helm("template", "paddock", str(chart), "--set", f"monitoring.{value}")

    assert refused.returncode != 0
    assert "/monitoring" in refused.stderr
