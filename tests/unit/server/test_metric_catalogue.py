"""Each metric of the dialect is exported as dashboards expect it, hidden until asked for, or said to be absent."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import Metric as Family
from prometheus_client.parser import text_string_to_metric_families

from paddock.engine.messages import EngineStats
from paddock.server.metric_page import PAGE, render
from paddock.server.metric_series import one_two_five
from paddock.server.metric_table import ABSENT, ADAPTERS, DEPRECATED, EXPORTED, hidden_names
from paddock.server.metrics import Metrics

FACTS = json.loads(Path(__file__).with_name("metrics.json").read_text())["metrics"]
BY_NAME = {fact["name"]: fact for fact in FACTS}
SERIES_OF_A_LABEL = ("finished_reason", "handler")


def declared(name: str) -> Any:
    return DEPRECATED[name].metric if name in DEPRECATED else EXPORTED[name]


def release(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(".")))


def wire_name(family: Family) -> str:
    return f"{family.name}_total" if family.type == "counter" else family.name


def families(text: str) -> dict[str, Family]:
    """As scraped; what Python's own runtime and the process export is left out."""
    found = {wire_name(family): family for family in text_string_to_metric_families(text)}
    return {name: family for name, family in found.items() if name.startswith(("vllm:", "paddock:", "http_"))}


def test_every_metric_has_exactly_one_fate() -> None:
    fates = [*EXPORTED, *DEPRECATED, *ABSENT]
    companions = {name for name in EXPORTED if name.startswith(("http_", "paddock:"))} - {
        "http_requests_total"
    }

    assert len(fates) == len(set(fates))
    assert set(fates) - companions == set(BY_NAME)
    assert not [name for name in EXPORTED if BY_NAME.get(name, {}).get("deprecated")]


@pytest.mark.parametrize("name", [name for name in BY_NAME if name not in ABSENT])
def test_types_labels_and_buckets_are_the_catalogues(name: str) -> None:
    fact, metric = BY_NAME[name], declared(name)
    facts_buckets = "context" if isinstance(fact["buckets"], str) else tuple(fact["buckets"] or ())

    assert metric.kind == fact["type"]
    assert metric.buckets == facts_buckets
    if fact["labels"][-1] == "...":
        assert set(metric.labels) >= set(fact["labels"][:-1])
    else:
        assert set(metric.labels) == set(fact["labels"])
    if name in DEPRECATED:
        assert DEPRECATED[name].since == release(fact["deprecated_since"])


def test_what_is_served_is_what_is_declared(http: httpx.Client) -> None:
    http.post("/v1/completions", json={"prompt": "a b", "max_tokens": 3})
    served = families(http.get("/metrics").text)

    assert set(served) == set(EXPORTED) - {ADAPTERS}, "adapters are shown where they are served"
    for name, family in served.items():
        metric = EXPORTED[name]
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        assert (family.type, labels) == (metric.kind, set(metric.labels)), name
        bounds = [float(sample.labels["le"]) for sample in family.samples if "le" in sample.labels]
        expected = one_two_five(256) if metric.buckets == "context" else metric.buckets
        if expected and not name.startswith("http_"):
            assert bounds == [*expected, float("inf")], name


def test_deprecated_metrics_are_hidden_and_come_back_by_release() -> None:
    assert hidden_names(None) == frozenset()
    assert hidden_names("0.11") == {"vllm:time_per_output_token_seconds"}
    assert "vllm:gpu_cache_usage_perc" in hidden_names("0.9")
    assert "vllm:num_requests_swapped" not in hidden_names("0.9.1")
    assert hidden_names("0.3") == set(DEPRECATED)
    assert hidden_names("0.12") == frozenset()


def test_a_metric_that_came_back_says_what_its_successor_says() -> None:
    metrics = Metrics("tiny", shown_hidden=hidden_names("0.3"))
    step = EngineStats(2, 1, 0.25, 10, 5, 1, 7, 1, num_swapped=3, swap_space_usage=0.5)
    metrics.of_engine(1).observe_step(step)
    metrics.observe_throughput(20.0, 10.0)
    found = families(metrics.render().decode())

    assert set(found) >= set(DEPRECATED)
    for name in DEPRECATED:
        labels = {label for sample in found[name].samples for label in sample.labels} - {"le"}
        assert (found[name].type, labels) == (declared(name).kind, set(declared(name).labels)), name
    values = {
        (sample.name, sample.labels.get("engine", "")): sample.value
        for family in found.values()
        for sample in family.samples
    }
    assert values["vllm:gpu_cache_usage_perc", "1"] == 0.25
    assert values["vllm:gpu_prefix_cache_hits_total", "1"] == 5
    assert values["vllm:gpu_prefix_cache_hit_rate", ""] == 0.5
    assert values["vllm:num_requests_swapped", ""] == 3
    assert values["vllm:cpu_cache_usage_perc", ""] == 0.25, "of two engines, one of which keeps nothing"
    assert values["vllm:avg_prompt_throughput_toks_per_s", ""] == 20
    assert values["vllm:avg_generation_throughput_toks_per_s", ""] == 10
    assert values["vllm:time_in_queue_requests_count", ""] == 0


def test_no_series_is_exported_twice() -> None:
    metrics = Metrics("tiny", shown_hidden=hidden_names("0.3"))
    metrics.of_engine(1)
    lines = [line for line in metrics.render().decode().splitlines() if not line.startswith("#")]
    series = [line.rsplit(" ", 1)[0] for line in lines]

    assert len(series) == len(set(series))


def test_requests_are_counted_by_route_and_not_by_path(
    server: Any, http: httpx.Client, eventually: Callable[..., None]
) -> None:
    http.post("/v1/completions", json={"prompt": "a", "max_tokens": 2})
    http.post("/v1/completions", json={"prompt": 1.5})
    http.get("/v1/completions")
    for path in ("/no/such/page", "/another", "/health", "/metrics"):
        http.get(path)

    text = http.get("/metrics").text
    assert counted(text, "POST", "/v1/completions", "2xx") == 1
    assert counted(text, "POST", "/v1/completions", "4xx") == 1
    assert counted(text, "GET", "/v1/completions", "4xx") == 1
    assert counted(text, "GET", "none", "4xx") == 2
    assert '"/health"' not in text
    assert "http_request_duration_highr_seconds_count 5.0" in text
    assert 'http_request_duration_seconds_count{handler="/v1/completions",method="POST"} 2.0' in text


def counted(text: str, method: str, handler: str, status: str) -> float:
    line = f'http_requests_total{{handler="{handler}",method="{method}",status="{status}"}} '
    return float(text.partition(line)[2].split("\n")[0])


def test_the_longest_of_n_answers_counts_once_per_prompt(http: httpx.Client) -> None:
    http.post("/v1/completions", json={"prompt": ["a b", "c d"], "n": 3, "max_tokens": 4})
    text = http.get("/metrics").text

    assert 'vllm:request_max_num_generation_tokens_count{engine="0",model_name="tiny"} 2.0' in text
    assert 'vllm:request_max_num_generation_tokens_sum{engine="0",model_name="tiny"} 8.0' in text
    assert 'vllm:request_generation_tokens_count{engine="0",model_name="tiny"} 6.0' in text


def test_the_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == render(), "run python -m paddock.server.metric_page"
