"""Prometheus and promtool as the tests use them, and what dashboards and rules ask of them."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import yaml
from serving import free_port
from waiting import until

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from local_cluster.go_programs import MONITORING
from local_cluster.installation import program as built_program

DASHBOARDS = ROOT / "charts/paddock/dashboards"
RULES = ROOT / "charts/paddock/rules"


def program(name: str) -> Path:
    """prometheus or promtool."""
    return built_program(MONITORING, name)


@dataclass(frozen=True)
class Query:
    """One expression of a panel, a rule or a variable; `where` says which."""

    where: str
    expression: str

    def filled_in(self, rate_interval: str = "10s") -> str:
        """With what Grafana would put in place of its variables when all is selected."""
        text = self.expression.replace("$__rate_interval", rate_interval)
        return re.sub(r"\$(namespace|service|model|pod|engine)\b", ".+", text)


def panels(dashboard: Path) -> Iterator[dict[str, Any]]:
    yield from json.loads(dashboard.read_text(encoding="utf-8"))["panels"]


def panel_queries(dashboard: Path) -> list[Query]:
    return [
        Query(f"{dashboard.stem}: {panel['title']} {target['refId']}", target["expr"])
        for panel in panels(dashboard)
        for target in panel.get("targets", [])
    ]


def variable_queries(dashboard: Path) -> list[Query]:
    variables = json.loads(dashboard.read_text(encoding="utf-8"))["templating"]["list"]
    return [
        Query(f"{dashboard.stem}: ${each['name']}", each["query"]["query"])
        for each in variables
        if each["type"] == "query"
    ]


def rules() -> list[dict[str, Any]]:
    files = sorted(RULES.glob("*.yaml"))
    groups = [group for file in files for group in yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]]
    return [rule for group in groups for rule in group["rules"]]


def rule_queries() -> list[Query]:
    return [Query(rule.get("record") or rule["alert"], rule["expr"]) for rule in rules()]


def fixed_targets(targets: dict[str, dict[str, str]]) -> list[dict[str, Any]]:
    """A job for these. `targets`: labels by HOST:PORT."""
    each = [{"targets": [target], "labels": labels} for target, labels in targets.items()]
    return [{"job_name": "paddock", "honor_labels": True, "static_configs": each}]


def runbook_jobs(**discovery: str) -> list[dict[str, Any]]:
    """The scrape_configs that docs/runbook.md has users write. `discovery`: further settings of how pods are found."""
    text = (ROOT / "docs/runbook.md").read_text(encoding="utf-8")
    [block] = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    jobs: list[dict[str, Any]] = yaml.safe_load(block)["scrape_configs"]
    for job in jobs:
        for each in job["kubernetes_sd_configs"]:
            each.update(discovery)
    return jobs


class Prometheus:
    """A Prometheus of the tests' own on a loopback port, scraping each second. Use as a context manager."""

    def __init__(self, folder: Path, jobs: list[dict[str, Any]]) -> None:
        """`jobs`: its scrape_configs."""
        self.url = f"http://127.0.0.1:{free_port()}"
        config = folder / "prometheus.yml"
        document = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "scrape_configs": jobs,
        }
        config.write_text(json.dumps(document), encoding="utf-8")
        self._log = (folder / "prometheus.log").open("w")
        self._process = subprocess.Popen(
            [
                program("prometheus"),
                f"--config.file={config}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address={self.url.removeprefix('http://')}",
            ],
            stdout=self._log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "GOMAXPROCS": "1"},
        )

    def __enter__(self) -> Self:
        until(self._is_ready, seconds=30, what="Prometheus to start")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait(20)
        self._log.close()

    def ask(self, expression: str, time: float | None = None) -> list[dict[str, Any]]:
        """The instant vector. Raises AssertionError with Prometheus' words for a query that cannot be run."""
        return self._result("query", query=expression, **({} if time is None else {"time": time}))

    def ask_range(self, expression: str, start: float, end: float, step: float) -> list[dict[str, Any]]:
        """The series between two times, in seconds. Raises AssertionError as `ask` does."""
        return self._result("query_range", query=expression, start=start, end=end, step=step)

    def _result(self, kind: str, **parameters: str | float) -> list[dict[str, Any]]:
        answer = httpx.get(f"{self.url}/api/v1/{kind}", params=parameters, timeout=20).json()
        assert answer["status"] == "success", f"{parameters['query']}: {answer.get('error')}"
        result = answer["data"]["result"]
        return result if isinstance(result, list) else []

    def _is_ready(self) -> bool:
        assert self._process.poll() is None, "Prometheus ended; see its log"
        try:
            return httpx.get(self.url + "/-/ready", timeout=5).status_code == 200
        except httpx.TransportError:
            return False
