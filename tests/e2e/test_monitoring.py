"""A real Prometheus scrapes a served model and an operator's figures: every panel, variable and rule finds its data."""

import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from monitoring import (
    DASHBOARDS,
    Prometheus,
    Query,
    fixed_targets,
    panel_queries,
    rule_queries,
    variable_queries,
)
from promql import named_in
from serving import Serve
from waiting import until

from paddock.operator.metrics import Metrics, Vitals

pytestmark = pytest.mark.long
BOARDS = sorted(DASHBOARDS.glob("*.json"))
FLAGS = (
    "--served-model-name", "tiny", "--max-num-seqs", "4", "--show-hidden-metrics-for-version", "0.9", "--enable-lora",
)  # fmt: skip
WINDOWS = re.compile(r"\[(?:5m|10m|15m|30m|1h|6h)\]")


@pytest.fixture(scope="module")
def operator_target() -> Iterator[str]:
    """The operator's own exporter, after passes over one service; HOST:PORT."""
    metrics = Metrics(Vitals(leading=True))
    metrics.follow_queue(lambda: 1, lambda: 0)
    metrics.follow_recorder(lambda: 0)
    conditions = [
        {"type": kind, "status": status, "reason": "Because"}
        for kind, status in (("Available", "True"), ("ModelReady", "True"), ("Degraded", "False"))
    ]
    status = {"replicas": 1, "readyReplicas": 1, "conditions": conditions}
    metrics.services.saw(("models", "tiny"), status)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            """Each scrape finds a little more work done."""
            for result in ("changed", "settled", "failed"):
                metrics.reconciles.labels(result).inc()
            metrics.reconcile_seconds.observe(0.02)
            metrics.requested("get", 200, "/api/v1/pods")
            metrics.watch_events.labels("pods").inc()
            body = metrics.text()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: scrapes are no news."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory, operator_target: str) -> Iterator[Prometheus]:
    """It has scraped a server under load, for long enough that every rate is known."""
    folder = tmp_path_factory.mktemp("monitoring")
    labels = {"namespace": "models", "inference_service": "tiny", "pod": "tiny-0-0", "group": "0"}
    over = threading.Event()
    with (
        Serve(folder / "log", *FLAGS) as serve,
        Prometheus(
            folder, fixed_targets({f"127.0.0.1:{serve.port}": labels, operator_target: {}})
        ) as prometheus,
        ThreadPoolExecutor(8) as pool,
    ):
        loads = [pool.submit(load, serve.url, over) for _ in range(8)]
        try:
            until(lambda: has_rates(prometheus), seconds=150, what="rates to be known")
            yield prometheus
        finally:
            over.set()
            for one in loads:
                one.result()


def load(url: str, over: threading.Event) -> None:
    """Chats with a shared beginning, several answers, and now and then a question that is refused."""
    with httpx.Client(base_url=url, timeout=60) as client:
        while not over.is_set():
            prompt = "Once upon a time there was a little girl who lived in a house near the forest."
            body = {"prompt": prompt, "max_tokens": 12, "n": 2, "ignore_eos": True}
            assert client.post("/v1/completions", json=body).status_code == 200
            assert client.post("/v1/completions", json={**body, "n": 0}).status_code == 400


def has_rates(prometheus: Prometheus) -> bool:
    wanted = (
        "rate(vllm:e2e_request_latency_seconds_count[10s]) > 0",
        "rate(paddock_operator_reconciles_total[10s])",
    )
    return all(prometheus.ask(query) for query in wanted)


@pytest.mark.parametrize("board", BOARDS, ids=lambda path: path.stem)
def test_every_panel_shows_data(prometheus: Prometheus, board: Path) -> None:
    empty = [query.where for query in panel_queries(board) if not prometheus.ask(query.filled_in())]

    assert empty == []


@pytest.mark.parametrize("board", BOARDS, ids=lambda path: path.stem)
def test_every_variable_has_values(prometheus: Prometheus, board: Path) -> None:
    for query in variable_queries(board):
        series, label = re.fullmatch(r"label_values\((.+), (\w+)\)", query.filled_in()).groups()  # type: ignore[union-attr]
        assert any(label in found["metric"] for found in prometheus.ask(series)), query.where


def test_every_rule_can_be_computed_from_what_is_scraped(prometheus: Prometheus) -> None:
    """Comparisons are left out: a healthy service gives an alert no data."""
    recorded = {query.where: query for query in rule_queries() if ":" in query.where}
    for query in rule_queries():
        for series in named_in(query.expression).labels:
            expression = inlined(series, recorded)
            assert prometheus.ask(expression), f"{query.where}: {expression} finds nothing"


def inlined(series: str, recorded: dict[str, Query]) -> str:
    """A series, or the rule that records it, over windows as long as the test."""
    if series not in recorded:
        return series
    expression = recorded[series].expression
    for name in named_in(expression).labels:
        if name in recorded:
            expression = expression.replace(name, f"({inlined(name, recorded)})")
    return WINDOWS.sub("[10s]", expression)


def test_a_dashboard_of_the_release_that_was_named_finds_its_metrics(prometheus: Prometheus) -> None:
    assert prometheus.ask('vllm:gpu_cache_usage_perc{model_name="tiny",engine="0"}')
    assert prometheus.ask("rate(vllm:time_per_output_token_seconds_bucket[10s])")
    assert not prometheus.ask("vllm:num_requests_swapped")


def test_every_target_is_up_and_no_sample_is_dropped(prometheus: Prometheus) -> None:
    assert {found["value"][1] for found in prometheus.ask("up")} == {"1"}
    dropped = prometheus.ask("scrape_samples_scraped - scrape_samples_post_metric_relabeling")
    assert {found["value"][1] for found in dropped} == {"0"}
