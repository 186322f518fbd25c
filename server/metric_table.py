"""Every metric of the dialect and what becomes of it here: names as they are scraped, labels, buckets, meaning.

The names and buckets are what public dashboards and autoscalers query. `docs/metrics.md` is made from this table.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Kind = Literal["gauge", "counter", "histogram", "summary"]
Release = tuple[int, ...]

FIRST_TOKEN_BUCKETS = (
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160, 640, 2560,
)  # fmt: skip
TOKEN_BUCKETS = (
    0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80,
)  # fmt: skip
REQUEST_BUCKETS = (
    0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680,
)  # fmt: skip
STEP_TOKEN_BUCKETS = (1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)
CHOICE_BUCKETS = (1, 2, 5, 10, 20)
COARSE_SECONDS_BUCKETS = (0.1, 0.5, 1)
FINE_SECONDS_BUCKETS = (
    0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5, 7.5, 10, 30, 60,
)  # fmt: skip

MODEL = ("model_name", "engine")
OLD = ("model_name",)
"""Labels of what was there before engines had numbers."""

CACHE = (
    "engine", "block_size", "cache_dtype", "enable_prefix_caching", "gpu_memory_utilization", "kv_cache_memory_bytes",
    "num_gpu_blocks", "num_gpu_blocks_override", "prefix_caching_hash_algo",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Metric:
    kind: Kind
    meaning: str
    labels: tuple[str, ...] = MODEL
    buckets: tuple[float, ...] | Literal["context"] = ()
    """"context": the 1-2-5 series up to the longest context."""


@dataclass(frozen=True, slots=True)
class Deprecated:
    """`metric` is shown again by --show-hidden-metrics-for-version up to release `since`."""

    metric: Metric
    since: Release
    successor: str


def _seconds(meaning: str, buckets: tuple[float, ...] = REQUEST_BUCKETS) -> Metric:
    return Metric("histogram", meaning, buckets=buckets)


def _lengths(meaning: str) -> Metric:
    return Metric("histogram", meaning, buckets="context")


ADAPTERS = "vllm:lora_requests_info"

EXPORTED: Mapping[str, Metric] = {
    "vllm:num_requests_running": Metric("gauge", "Requests in the batch now."),
    "vllm:num_requests_waiting": Metric("gauge", "Requests queued and not yet scheduled."),
    "vllm:kv_cache_usage_perc": Metric("gauge", "Share of KV-cache blocks in use, 0 to 1."),
    "vllm:prefix_cache_queries_total": Metric("counter", "Prompt tokens looked up in the prefix cache."),
    "vllm:prefix_cache_hits_total": Metric("counter", "Prompt tokens found in the prefix cache."),
    "vllm:num_preemptions_total": Metric("counter", "Running requests that lost their blocks."),
    "vllm:prompt_tokens_total": Metric("counter", "Prompt tokens processed."),
    "vllm:generation_tokens_total": Metric("counter", "Tokens generated."),
    "vllm:iteration_tokens_total": Metric(
        "histogram", "Tokens processed in one engine step.", buckets=STEP_TOKEN_BUCKETS
    ),
    "vllm:time_to_first_token_seconds": _seconds("From arrival to the first token.", FIRST_TOKEN_BUCKETS),
    "vllm:inter_token_latency_seconds": _seconds("Between successive tokens.", TOKEN_BUCKETS),
    "vllm:request_time_per_output_token_seconds": _seconds(
        "Mean time per output token of a request.", TOKEN_BUCKETS
    ),
    "vllm:e2e_request_latency_seconds": _seconds("From arrival to the last token."),
    "vllm:request_queue_time_seconds": _seconds("From arrival until first scheduled."),
    "vllm:request_prefill_time_seconds": _seconds("From first scheduled to the first token."),
    "vllm:request_decode_time_seconds": _seconds("From the first to the last token."),
    "vllm:request_inference_time_seconds": _seconds("From first scheduled to the last token."),
    "vllm:request_params_n": Metric("histogram", "Value of n in requests.", buckets=CHOICE_BUCKETS),
    "vllm:request_params_max_tokens": _lengths("Value of max_tokens in requests that set it."),
    "vllm:request_prompt_tokens": _lengths("Prompt length of finished requests."),
    "vllm:request_generation_tokens": _lengths("Output length of finished requests."),
    "vllm:request_max_num_generation_tokens": _lengths("Longest output among the answers to a request."),
    "vllm:request_success_total": Metric(
        "counter", "Finished requests, by why they ended.", (*MODEL, "finished_reason")
    ),
    "vllm:cache_config_info": Metric(
        "gauge",
        "Cache settings in force, as labels; the value is 1.",
        CACHE,
    ),
    ADAPTERS: Metric(
        "gauge",
        "Adapters of running and waiting requests, as labels; the value is the time of the scrape. With --enable-lora.",
        ("max_lora", "running_lora_adapters", "waiting_lora_adapters"),
    ),
    "paddock:model_weight_bytes": Metric("gauge", "Weights that an engine holds, over all its ranks."),
    "paddock:kv_cache_bytes_per_token": Metric(
        "gauge", "Cache that one token takes, over all ranks of an engine."
    ),
    "http_requests_total": Metric(
        "counter", "HTTP requests by handler, method and class of status.", ("handler", "method", "status")
    ),
    "http_request_duration_seconds": Metric(
        "histogram", "From request to the end of the answer.", ("handler", "method"), COARSE_SECONDS_BUCKETS
    ),
    "http_request_duration_highr_seconds": Metric(
        "histogram", "From request to the end of the answer, all handlers.", (), FINE_SECONDS_BUCKETS
    ),
    "http_request_size_bytes": Metric("summary", "Declared length of request bodies.", ("handler",)),
    "http_response_size_bytes": Metric(
        "summary", "Declared length of answers; streams declare none and count as 0.", ("handler",)
    ),
}

DEPRECATED: Mapping[str, Deprecated] = {
    "vllm:time_per_output_token_seconds": Deprecated(
        _seconds("Between successive tokens.", TOKEN_BUCKETS), (0, 11), "vllm:inter_token_latency_seconds"
    ),
    "vllm:gpu_cache_usage_perc": Deprecated(
        Metric("gauge", "Share of KV-cache blocks in use, 0 to 1."), (0, 9), "vllm:kv_cache_usage_perc"
    ),
    "vllm:gpu_prefix_cache_queries_total": Deprecated(
        Metric("counter", "Prompt tokens looked up."), (0, 9), "vllm:prefix_cache_queries_total"
    ),
    "vllm:gpu_prefix_cache_hits_total": Deprecated(
        Metric("counter", "Prompt tokens found."), (0, 9), "vllm:prefix_cache_hits_total"
    ),
    "vllm:gpu_prefix_cache_hit_rate": Deprecated(
        Metric("gauge", "Share of looked-up prompt tokens that were found, since the start.", OLD),
        (0, 8),
        "vllm:prefix_cache_hits_total / vllm:prefix_cache_queries_total",
    ),
    "vllm:cpu_prefix_cache_hit_rate": Deprecated(
        Metric("gauge", "-1: no prefix is looked for in host memory.", OLD), (0, 8), "nothing"
    ),
    "vllm:cpu_cache_usage_perc": Deprecated(
        Metric("gauge", "Share of the swap space in use, 0 to 1; 0 without one.", OLD), (0, 8), "nothing"
    ),
    "vllm:num_requests_swapped": Deprecated(
        Metric("gauge", "Waiting requests whose blocks are in host memory.", OLD),
        (0, 8),
        "vllm:num_preemptions_total",
    ),
    "vllm:time_in_queue_requests": Deprecated(
        Metric("histogram", "From arrival until first scheduled.", OLD, REQUEST_BUCKETS),
        (0, 8),
        "vllm:request_queue_time_seconds",
    ),
    "vllm:avg_prompt_throughput_toks_per_s": Deprecated(
        Metric("gauge", "Prompt tokens per second in the last 10 s.", OLD),
        (0, 3),
        "rate(vllm:prompt_tokens_total)",
    ),
    "vllm:avg_generation_throughput_toks_per_s": Deprecated(
        Metric("gauge", "Generated tokens per second in the last 10 s.", OLD),
        (0, 3),
        "rate(vllm:generation_tokens_total)",
    ),
}

_NO_SPECULATION = "tokens are not drafted yet"
_NOT_TIMED = "of an older engine that timed each call; see the prefill, decode and inference times"
_NO_CONNECTOR = "caches of other instances are not asked yet"
_NO_MEDIA = "no media are taken yet"
ABSENT: Mapping[str, str] = {
    "vllm:connector_prefix_cache_hits_total": _NO_CONNECTOR,
    "vllm:connector_prefix_cache_queries_total": _NO_CONNECTOR,
    "vllm:corrupted_requests_total": "logits are not searched for NaN yet",
    "vllm:engine_sleep_state": "the engine does not sleep yet",
    "vllm:mm_cache_hits_total": _NO_MEDIA,
    "vllm:mm_cache_queries_total": _NO_MEDIA,
    "vllm:model_execute_time_milliseconds": _NOT_TIMED,
    "vllm:model_forward_time_milliseconds": _NOT_TIMED,
    "vllm:request_params_best_of": "vllm:request_params_n counts the answers that are generated",
    "vllm:spec_decode_draft_acceptance_rate": _NO_SPECULATION,
    "vllm:spec_decode_efficiency": _NO_SPECULATION,
    "vllm:spec_decode_num_accepted_tokens_per_pos_total": _NO_SPECULATION,
    "vllm:spec_decode_num_accepted_tokens_total": _NO_SPECULATION,
    "vllm:spec_decode_num_draft_tokens_total": _NO_SPECULATION,
    "vllm:spec_decode_num_drafts_total": _NO_SPECULATION,
    "vllm:spec_decode_num_emitted_tokens_total": _NO_SPECULATION,
}
"""Of what is not here (yet), and why: a constant zero would look like a measurement."""


def hidden_names(release: str | None) -> frozenset[str]:
    """What `--show-hidden-metrics-for-version` brings back: all that was deprecated in that release or later."""
    if release is None:
        return frozenset()
    wanted = tuple(int(part) for part in release.split(".")[:2])
    return frozenset(name for name, old in DEPRECATED.items() if old.since >= wanted)
