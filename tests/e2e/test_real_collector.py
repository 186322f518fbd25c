"""A real OpenTelemetry collector takes the spans of a served model, by both protocols."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from serving import ROOT, Serve, free_port
from waiting import until

sys.path.insert(0, str(ROOT / "tests"))

from local_cluster.go_programs import COLLECTOR
from local_cluster.installation import program

pytestmark = pytest.mark.long
TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
HEADERS = {"traceparent": f"00-{TRACE}-{CALLER}-01"}
BODY = {"prompt": "once upon a time", "max_tokens": 24, "ignore_eos": True}


@dataclass(frozen=True)
class Collector:
    endpoints: dict[str, str]
    file: Path

    def spans(self, service: str) -> list[dict[str, Any]]:
        """Those of one service, as the collector understood them."""
        lines = self.file.read_text().splitlines() if self.file.exists() else []
        return [
            span
            for line in lines
            for resource in json.loads(line)["resourceSpans"]
            if {"key": "service.name", "value": {"stringValue": service}}
            in resource["resource"]["attributes"]
            for scope in resource["scopeSpans"]
            for span in scope["spans"]
        ]


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    folder = tmp_path_factory.mktemp("collector")
    ports = {"grpc": free_port(), "http": free_port()}
    listeners = {name: {"endpoint": f"127.0.0.1:{port}"} for name, port in ports.items()}
    config = {
        "receivers": {"otlp": {"protocols": listeners}},
        "exporters": {"file": {"path": str(folder / "spans.jsonl"), "flush_interval": "100ms"}},
        "service": {
            "telemetry": {"metrics": {"level": "none"}},
            "pipelines": {"traces": {"receivers": ["otlp"], "exporters": ["file"]}},
        },
    }
    (folder / "config.yaml").write_text(json.dumps(config))
    log = folder / "log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [program(COLLECTOR, "otelcol"), f"--config=file:{folder / 'config.yaml'}"],
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "GOMAXPROCS": "1"},
        )
    endpoints = {
        "grpc": f"http://127.0.0.1:{ports['grpc']}",
        "http/protobuf": f"http://127.0.0.1:{ports['http']}/v1/traces",
    }
    until(lambda: "Everything is ready" in log.read_text(), seconds=30, what="the collector to start")
    yield Collector(endpoints, folder / "spans.jsonl")
    process.terminate()
    assert process.wait(20) == 0


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_a_collector_understands_the_spans_of_requests(
    collector: Collector, protocol: str, tmp_path: Path
) -> None:
    service = f"tiny-by-{protocol}"
    flags = ("--served-model-name", "tiny", "--otlp-traces-endpoint", collector.endpoints[protocol])
    with Serve(tmp_path / "log", *flags, environ={"OTEL_SERVICE_NAME": service}) as serve:
        httpx.post(serve.url + "/v1/completions", json=BODY, headers=HEADERS, timeout=60).raise_for_status()
        serve.process.terminate()
        assert serve.wait() == 0
    spans = until(lambda: collector.spans(service), seconds=10, what="spans in the collector's file")

    [request] = [span for span in spans if span["name"] == "text_completion tiny"]
    inside = [span["name"] for span in spans if span.get("parentSpanId") == request["spanId"]]
    assert (request["traceId"], request["parentSpanId"]) == (TRACE, CALLER)
    assert sorted(inside) == ["decode", "detokenize", "prefill", "queue", "tokenize"]
    assert {"key": "gen_ai.usage.output_tokens", "value": {"intValue": "24"}} in request["attributes"]
