"""The series that dashboards read, after requests of which all is known."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from paddock.engine.messages import EngineStats
from paddock.server.metric_series import one_two_five
from paddock.server.metrics import Metrics
from paddock.server.stats_log import MOST_SIZES, Totals, follow_stats, stats_line, step_sizes_line

LABELS = {"model_name": "tiny", "engine": "0"}


def computed(num_prompt_tokens: int) -> EngineStats:
    return EngineStats(0, 0, 0.0, 0, 0, 0, num_prompt_tokens, 0)


def samples(url: str) -> dict[str, float]:
    """Values by name, for our labels; buckets left out."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(httpx.get(url + "/metrics").text):
        for sample in family.samples:
            reason = sample.labels.get("finished_reason")
            found[sample.name if reason is None else f"{sample.name}/{reason}"] = sample.value
    return found


def test_counts_follow_the_requests(server: Any, engine: Any, eventually: Callable[..., None]) -> None:
    before = samples(server.url)
    httpx.post(server.url + "/v1/completions", json={"prompt": "a b c", "max_tokens": 5, "n": 2})
    engine.script = "fox"
    httpx.post(server.url + "/v1/completions", json={"prompt": "a", "max_tokens": 50})
    prompt = sum(len(request.prompt_token_ids) for request in engine.seen)
    eventually(lambda: samples(server.url)["vllm:e2e_request_latency_seconds_count"] == 3)
    after = samples(server.url)
    assert after["vllm:request_success_total/length"] == 2
    assert after["vllm:request_success_total/stop"] == 1
    assert after["vllm:request_success_total/abort"] == before["vllm:request_success_total/abort"] == 0
    assert after["vllm:prompt_tokens_total"] == prompt
    generated = after["vllm:generation_tokens_total"]
    assert after["vllm:time_to_first_token_seconds_count"] == 3
    assert after["vllm:inter_token_latency_seconds_count"] == generated - 3
    for name in (
        "request_queue_time",
        "request_prefill_time",
        "request_decode_time",
        "request_inference_time",
    ):
        assert after[f"vllm:{name}_seconds_count"] == 3
    assert after["vllm:request_params_n_sum"] == 3
    assert after["vllm:prefix_cache_queries_total"] > after["vllm:prefix_cache_hits_total"] > 0
    assert after["vllm:num_preemptions_total"] == 0


def test_gauges_follow_the_engine(server: Any, engine: Any, eventually: Callable[..., None]) -> None:
    engine.hold_after = 1
    with httpx.stream("POST", server.url + "/v1/completions", json={"prompt": "a b", "stream": True}):
        eventually(lambda: samples(server.url)["vllm:num_requests_running"] == 1)
        assert samples(server.url)["vllm:kv_cache_usage_perc"] == 0.5
    eventually(lambda: samples(server.url)["vllm:num_requests_running"] == 0)
    assert samples(server.url)["vllm:kv_cache_usage_perc"] == 0
    assert samples(server.url)["vllm:request_success_total/abort"] == 1


def test_a_stop_string_counts_as_stop(server: Any, engine: Any) -> None:
    engine.script = "The quick brown fox"
    engine.hold_after = 100
    httpx.post(server.url + "/v1/completions", json={"prompt": "a", "stop": "quick", "max_tokens": 99})
    assert samples(server.url)["vllm:request_success_total/stop"] == 1


def test_labels_and_length_buckets_are_the_catalogues() -> None:
    assert one_two_five(256) == [1, 2, 5, 10, 20, 50, 100, 200]
    text = Metrics("tiny").render().decode()
    assert 'vllm:num_requests_running{engine="0",model_name="tiny"} 0.0' in text
    assert 'vllm:time_to_first_token_seconds_bucket{engine="0",le="0.001",model_name="tiny"} 0.0' in text
    assert 'vllm:iteration_tokens_total_bucket{engine="0",le="16384.0",model_name="tiny"} 0.0' in text
    assert 'vllm:request_success_total{engine="0",finished_reason="length",model_name="tiny"} 0.0' in text


def test_the_stats_line_gives_rates_and_is_silent_when_idle(caplog: pytest.LogCaptureFixture) -> None:
    metrics = Metrics("tiny")

    async def run() -> None:
        task = asyncio.create_task(follow_stats(metrics, True, interval_seconds=0.01))
        while_idle = asyncio.get_running_loop().time() + 0.1
        while asyncio.get_running_loop().time() < while_idle:
            await asyncio.sleep(0.01)
        assert not caplog.records
        metrics.observe_step(computed(100))
        while not caplog.records:
            await asyncio.sleep(0.01)
        task.cancel()

    with caplog.at_level(logging.INFO):
        asyncio.run(run())
    assert "prompt " in caplog.records[0].message
    line = stats_line(metrics, Totals(prompt=100, queries=10, hits=5), 10.0)
    assert "prompt 10.0 tokens/s" in line
    assert "prefix cache hits 50.0%" in line


def test_sizes_of_steps_are_told_the_most_frequent_first() -> None:
    metrics = Metrics("tiny")
    metrics.observe_step(computed(5))
    metrics.step_sizes = Counter()
    for num_tokens in (64, 1, 64, 0):
        metrics.observe_step(computed(num_tokens))
    assert step_sizes_line(metrics.step_sizes) == "tokens of 3 steps: 64 in 2, 1 in 1"
    many = Counter(dict.fromkeys(range(MOST_SIZES + 5), 1))
    assert step_sizes_line(many).endswith(", others in 5")
