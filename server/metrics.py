"""Prometheus metrics under the `vllm:` names that dashboards and autoscalers already query."""

import os
from collections.abc import Sequence as Values

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.gc_collector import GCCollector
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from paddock.engine.messages import EngineStats, Ready, RequestOutput
from paddock.server.generation.stream import Sequence

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
FINISH_REASONS = ("stop", "length", "abort", "error")
LABELS = ("model_name", "engine")
ENGINE = "0"
SHARED_FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""Where the library keeps the values of several processes, when this is set before it is imported."""


def one_two_five(limit: int) -> list[int]:
    """1, 2, 5, 10, 20, 50, … up to `limit`: the bucket bounds of token counts."""
    bounds: list[int] = []
    scale = 1
    while scale <= limit:
        bounds += [scale * step for step in (1, 2, 5) if scale * step <= limit]
        scale *= 10
    return bounds


class Metrics:
    """All series of one server, each bound to its labels once: observing takes no look-up."""

    def __init__(self, model_name: str, speaks_for_engine: bool = True) -> None:
        """`speaks_for_engine`: every server of an engine hears what its steps added, and one alone counts it."""
        self.registry = CollectorRegistry(auto_describe=True)
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)
        self._speaks_for_engine = speaks_for_engine
        self._model_name = model_name
        self.stats = EngineStats(0, 0, 0.0, 0, 0, 0, 0, 0)
        self._running = self._gauge("num_requests_running", "Requests in the batch now.")
        self._waiting = self._gauge("num_requests_waiting", "Requests queued and not yet scheduled.")
        self._cache_usage = self._gauge("kv_cache_usage_perc", "Share of KV-cache blocks in use, 0 to 1.")
        self.cache_queries = self._counter(
            "prefix_cache_queries", "Prompt tokens looked up in the prefix cache."
        )
        self.cache_hits = self._counter("prefix_cache_hits", "Prompt tokens found in the prefix cache.")
        self._preemptions = self._counter("num_preemptions", "Running requests that lost their blocks.")
        self.prompt_tokens = self._counter("prompt_tokens", "Prompt tokens processed.")
        self.generation_tokens = self._counter("generation_tokens", "Tokens generated.")
        self._step_tokens = self._histogram(
            "iteration_tokens_total", "Tokens processed in one engine step.", STEP_TOKEN_BUCKETS
        )
        self._request_histograms()
        self._success = Counter(
            "vllm:request_success", "Finished requests, by why they ended.", (*LABELS, "finished_reason"),
            registry=self.registry,
        )  # fmt: skip
        self._finished = {
            reason: self._success.labels(model_name, ENGINE, reason) for reason in FINISH_REASONS
        }

    def _request_histograms(self) -> None:
        def seconds(name: str, meaning: str, buckets: Values[float] = REQUEST_BUCKETS) -> Histogram:
            return self._histogram(f"{name}_seconds", meaning, buckets)

        self._first_token = seconds(
            "time_to_first_token", "From arrival to the first token.", FIRST_TOKEN_BUCKETS
        )
        self._inter_token = seconds("inter_token_latency", "Between successive tokens.", TOKEN_BUCKETS)
        self._per_token = seconds(
            "request_time_per_output_token", "Mean time per output token of a request.", TOKEN_BUCKETS
        )
        self._end_to_end = seconds("e2e_request_latency", "From arrival to the last token.")
        self._queue = seconds("request_queue_time", "From arrival until first scheduled.")
        self._prefill = seconds("request_prefill_time", "From first scheduled to the first token.")
        self._decode = seconds("request_decode_time", "From the first to the last token.")
        self._inference = seconds("request_inference_time", "From first scheduled to the last token.")
        self._choices = self._histogram("request_params_n", "Value of n in requests.", CHOICE_BUCKETS)

    def set_engine(self, ready: Ready, settings: dict[str, str]) -> None:
        """What is known once the engine has started: length buckets, and the cache settings in force."""
        bounds = one_two_five(ready.max_model_len)
        self._prompt_length = self._histogram("request_prompt_tokens", "Prompt length of requests.", bounds)
        self._answer_length = self._histogram(
            "request_generation_tokens", "Output length of requests.", bounds
        )
        self._max_tokens = self._histogram("request_params_max_tokens", "Value of max_tokens.", bounds)
        labels = {
            "engine": ENGINE,
            "block_size": str(ready.block_size),
            "num_gpu_blocks": str(ready.num_blocks),
        }
        labels |= settings
        info = Gauge(
            "vllm:cache_config_info",
            "Cache settings in force.",
            labels,
            registry=self.registry,
            multiprocess_mode="mostrecent",
        )
        info.labels(**labels).set(1)

    def observe_request(self, n: int, max_tokens: int | None) -> None:
        self._choices.observe(n)
        if max_tokens is not None:
            self._max_tokens.observe(max_tokens)

    def observe_output(self, sequence: Sequence, output: RequestOutput, now: float) -> None:
        """Once per sequence and step; `now` is when the frame was read."""
        count = len(output.new_token_ids)
        if count:
            if sequence.num_tokens == 0:
                self._observe_first(sequence, output, now)
            else:
                self._inter_token.observe((now - sequence.last_token) / count)
            sequence.num_tokens += count
            sequence.last_token = now
            self.generation_tokens.inc(count)
        if output.finish_reason is not None:
            self.observe_finish(sequence, output.finish_reason, now)

    def _observe_first(self, sequence: Sequence, output: RequestOutput, now: float) -> None:
        self.prompt_tokens.inc(sequence.num_prompt)
        self._first_token.observe(now - sequence.arrival)
        sequence.first_token = now
        if output.scheduled_time is not None:
            sequence.scheduled = output.scheduled_time
            self._queue.observe(max(0.0, output.scheduled_time - sequence.arrival))
            self._prefill.observe(max(0.0, now - output.scheduled_time))

    def observe_finish(self, sequence: Sequence, reason: str, now: float) -> None:
        self._finished[reason].inc()
        if reason in ("abort", "error") or sequence.num_tokens == 0:
            return
        self._end_to_end.observe(now - sequence.arrival)
        self._decode.observe(now - sequence.first_token)
        self._inference.observe(max(0.0, now - sequence.scheduled))
        self._prompt_length.observe(sequence.num_prompt)
        self._answer_length.observe(sequence.num_tokens)
        if sequence.num_tokens > 1:
            self._per_token.observe((now - sequence.first_token) / (sequence.num_tokens - 1))

    def observe_step(self, stats: EngineStats) -> None:
        self.stats = stats
        self._running.set(stats.num_running)
        self._waiting.set(stats.num_waiting)
        self._cache_usage.set(stats.kv_cache_usage)
        if not self._speaks_for_engine:
            return
        if stats.prefix_cache_queries:
            self.cache_queries.inc(stats.prefix_cache_queries)
            self.cache_hits.inc(stats.prefix_cache_hits)
        if stats.num_preemptions:
            self._preemptions.inc(stats.num_preemptions)
        tokens = stats.num_prompt_tokens + stats.num_generation_tokens
        if tokens:
            self._step_tokens.observe(tokens)

    def render(self) -> bytes:
        """The Prometheus text form, of all API servers together where there are several."""
        folder = os.environ.get(SHARED_FOLDER_VARIABLE)
        if folder is None:
            return generate_latest(self.registry)
        # Series of a process (memory, open files) have no common value; they are left out.
        registry = CollectorRegistry()
        MultiProcessCollector(registry, path=folder)  # type: ignore[no-untyped-call]
        return generate_latest(registry)

    def _gauge(self, name: str, meaning: str) -> Gauge:
        gauge = Gauge(f"vllm:{name}", meaning, LABELS, registry=self.registry, multiprocess_mode="mostrecent")
        labelled = gauge.labels(self._model_name, ENGINE)
        labelled.set(0)  # of several processes' values the one set last counts; never set would be absent
        return labelled

    def _counter(self, name: str, meaning: str) -> "Total":
        return Total(
            Counter(f"vllm:{name}", meaning, LABELS, registry=self.registry).labels(self._model_name, ENGINE)
        )

    def _histogram(self, name: str, meaning: str, buckets: Values[float]) -> Histogram:
        histogram = Histogram(f"vllm:{name}", meaning, LABELS, registry=self.registry, buckets=buckets)
        return histogram.labels(self._model_name, ENGINE)


class Total:
    """A counter that can also be read: the periodic log line shows rates."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self.value = 0

    def inc(self, amount: int) -> None:
        self.value += amount
        self._counter.inc(amount)
