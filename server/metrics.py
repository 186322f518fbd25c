"""What one API server observes of its requests and of the engine, as Prometheus series."""

import os
from collections import Counter
from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from paddock.engine.config import CacheConfig
from paddock.engine.messages import EngineStats, Ready, RequestOutput
from paddock.server.adapter_metric import WithAdapters
from paddock.server.exposition import Exposition
from paddock.server.generation.stream import Sequence
from paddock.server.hidden_metrics import THROUGHPUT, WithHidden
from paddock.server.metric_series import CACHE_INFO, Series, cache_labels
from paddock.server.metric_table import DEPRECATED, hidden_names
from paddock.server.metric_tally import Tally
from paddock.server.process_metrics import WithProcesses
from paddock.server.shared_series import SharedSeries

FINISH_REASONS = ("stop", "length", "abort", "error")
SHARED_FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""Where the library keeps the values of several processes, when this is set before it is imported."""


class Metrics:
    """All series of one server."""

    def __init__(
        self,
        model_name: str,
        follows_steps: bool = True,
        shown_hidden: frozenset[str] = hidden_names(None),
        engine: int = 0,
        beside: "Metrics | None" = None,
    ) -> None:
        """`follows_steps`: of the servers of an engine, this one hears of every step and counts what they added.
        `shown_hidden`: names of deprecated metrics that are shown all the same. `engine` is the data-parallel rank of
        the engine; `beside` are the metrics of another one, which this one's join."""
        self.registry: CollectorRegistry = _new_registry() if beside is None else beside.registry
        self.every: list[Metrics] = [] if beside is None else beside.every
        """Of all the engines, this one's among them."""
        self.every.append(self)
        self._exposition = Exposition()
        self._shown = _with_the_servers_beside(self.registry)
        self.follows_steps = follows_steps
        self._model_name = model_name
        self._shown_hidden = shown_hidden
        self.stats = EngineStats(0, 0, 0.0, 0, 0, 0, 0, 0)
        self.max_loras: int | None = None
        """Set where adapters are served: their use is then shown."""
        self.num_prompt_tokens = 0
        """Computed by the engine, for every server."""
        self.num_generation_tokens = 0
        self.step_sizes: Counter[int] | None = None
        """Steps by their number of tokens, where somebody counts them."""

        self.series: Series = (
            Series(self.registry, model_name, engine) if beside is None else beside.series.of_engine(engine)
        )
        series = self.series
        self._running = series.gauge("vllm:num_requests_running")
        self._waiting = series.gauge("vllm:num_requests_waiting")
        self._cache_usage = series.gauge("vllm:kv_cache_usage_perc")
        self.cache_queries = series.total("vllm:prefix_cache_queries_total")
        self.cache_hits = series.total("vllm:prefix_cache_hits_total")
        self._preemptions = series.total("vllm:num_preemptions_total")
        self._prompt_tokens = series.total("vllm:prompt_tokens_total")
        self.generation_tokens = series.total("vllm:generation_tokens_total")
        self._step_tokens = series.histogram("vllm:iteration_tokens_total")
        self._request_times()
        success = series.counter("vllm:request_success_total")
        self._finished = {
            reason: success.labels(model_name, series.engine, reason) for reason in FINISH_REASONS
        }
        shows_throughput = beside is None and shown_hidden.issuperset(THROUGHPUT)
        self._throughput = [self._old_gauge(name) for name in THROUGHPUT] if shows_throughput else []

    def of_engine(self, engine: int) -> "Metrics":
        """Those of the engine with this data-parallel rank; made when they are asked for first."""
        for known in self.every:
            if known.series.engine == str(engine):
                return known
        return Metrics(self._model_name, self.follows_steps, self._shown_hidden, engine, beside=self)

    def _request_times(self) -> None:
        histogram = self.series.histogram
        self._first_token = histogram("vllm:time_to_first_token_seconds")
        self._inter_token = Tally(histogram("vllm:inter_token_latency_seconds"))
        self._step_generated = 0
        self._per_token = histogram("vllm:request_time_per_output_token_seconds")
        self._end_to_end = histogram("vllm:e2e_request_latency_seconds")
        self._queue = histogram("vllm:request_queue_time_seconds")
        self._prefill = histogram("vllm:request_prefill_time_seconds")
        self._decode = histogram("vllm:request_decode_time_seconds")
        self._inference = histogram("vllm:request_inference_time_seconds")
        self._choices = histogram("vllm:request_params_n")

    def _old_gauge(self, name: str) -> Gauge:
        old = DEPRECATED[name].metric
        gauge = Gauge(name, old.meaning, old.labels, registry=self.registry, multiprocess_mode="mostrecent")
        return gauge.labels(self._model_name)

    def set_engine(self, ready: Ready, cache: CacheConfig) -> None:
        """What is known once the engine has started: length buckets, and what it made of the cache's settings."""
        longest = ready.max_model_len
        self._prompt_length = self.series.histogram("vllm:request_prompt_tokens", longest)
        self._answer_length = self.series.histogram("vllm:request_generation_tokens", longest)
        self._longest_answer = self.series.histogram("vllm:request_max_num_generation_tokens", longest)
        self._max_tokens = self.series.histogram("vllm:request_params_max_tokens", longest)
        labels = {**cache_labels(cache, ready), "engine": self.series.engine}
        self.series.info(CACHE_INFO, labels)
        self.series.gauge("paddock:model_weight_bytes").set(ready.weight_bytes)
        self.series.gauge("paddock:kv_cache_bytes_per_token").set(ready.kv_bytes_per_token)

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
                self._inter_token.add((now - sequence.last_token) / count)
            sequence.num_tokens += count
            sequence.last_token = now
            self._step_generated += count
        elif output.pooled is not None:
            self._observe_pooled(sequence, output, now)
        if output.finish_reason is not None:
            self.observe_finish(sequence, output.finish_reason, now)

    def _observe_first(self, sequence: Sequence, output: RequestOutput, now: float) -> None:
        self._prompt_tokens.inc(sequence.num_prompt)
        self._first_token.observe(now - sequence.arrival)
        sequence.first_token = now
        if output.scheduled_time is not None:
            sequence.scheduled = output.scheduled_time
            self._queue.observe(max(0.0, output.scheduled_time - sequence.arrival))
            self._prefill.observe(max(0.0, now - output.scheduled_time))

    def _observe_pooled(self, sequence: Sequence, output: RequestOutput, now: float) -> None:
        """An input of a pooling model: it has no tokens to count or to time."""
        sequence.first_token = sequence.last_token = now
        self._prompt_tokens.inc(sequence.num_prompt)
        self._prompt_length.observe(sequence.num_prompt)
        self._end_to_end.observe(now - sequence.arrival)
        if output.scheduled_time is not None:
            sequence.scheduled = output.scheduled_time
            self._queue.observe(max(0.0, output.scheduled_time - sequence.arrival))
            self._inference.observe(max(0.0, now - output.scheduled_time))

    def observe_finish(self, sequence: Sequence, reason: str, now: float) -> None:
        self._finished[reason].inc()
        sequence.ended = reason
        longest = sequence.siblings.end_one(sequence.num_tokens)
        if reason in ("abort", "error") or sequence.num_tokens == 0:
            return
        self._end_to_end.observe(now - sequence.arrival)
        self._decode.observe(now - sequence.first_token)
        self._inference.observe(max(0.0, now - sequence.scheduled))
        self._prompt_length.observe(sequence.num_prompt)
        self._answer_length.observe(sequence.num_tokens)
        if longest is not None:
            self._longest_answer.observe(longest)
        if sequence.num_tokens > 1:
            self._per_token.observe((now - sequence.first_token) / (sequence.num_tokens - 1))

    def observe_step(self, stats: EngineStats) -> None:
        """After all outputs of the step: what they gathered is counted now."""
        self.stats = stats
        if self._step_generated:
            self.generation_tokens.inc(self._step_generated)
            self._step_generated = 0
            self._inter_token.flush()
        self._running.set(stats.num_running)
        self._waiting.set(stats.num_waiting)
        self._cache_usage.set(stats.kv_cache_usage)
        if not self.follows_steps:
            return
        if stats.prefix_cache_queries:
            self.cache_queries.inc(stats.prefix_cache_queries)
            self.cache_hits.inc(stats.prefix_cache_hits)
        if stats.num_preemptions:
            self._preemptions.inc(stats.num_preemptions)
        self.num_prompt_tokens += stats.num_prompt_tokens
        self.num_generation_tokens += stats.num_generation_tokens
        tokens = stats.num_prompt_tokens + stats.num_generation_tokens
        if tokens:
            self._step_tokens.observe(tokens)
            if self.step_sizes is not None:
                self.step_sizes[tokens] += 1

    def observe_throughput(self, *prompt_and_generation: float) -> None:
        """Tokens per second of the last interval; shown only where the old gauges are."""
        for gauge, rate in zip(self._throughput, prompt_and_generation, strict=False):
            gauge.set(rate)

    def render(self) -> bytes:
        """The Prometheus text form, of all API servers together where there are several."""
        shown = self._shown
        if self.max_loras is not None:
            shown = WithAdapters(shown, self.max_loras, [each.stats for each in self.every])
        if self._shown_hidden:
            every = [each.stats for each in self.every]
            shown = WithHidden(shown, self._shown_hidden, self._model_name, every)
        return self._exposition.page(shown)


def _with_the_servers_beside(registry: CollectorRegistry) -> Collector:
    folder = os.environ.get(SHARED_FOLDER_VARIABLE)
    return registry if folder is None else WithProcesses(SharedSeries(Path(folder)), Path(folder))


def _new_registry() -> CollectorRegistry:
    registry = CollectorRegistry(auto_describe=True)
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)
    return registry
