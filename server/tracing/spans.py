"""Writes a request that has ended as spans, by the semantic conventions for generative AI.

The latencies among the attributes, which the conventions do not have, bear the names that dashboards of traces know.
"""

from collections.abc import Iterator, Mapping

from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.types import Scope

from paddock import __version__
from paddock.engine.step_seconds import PhaseSeconds, StepSeconds
from paddock.server.middleware.request_id import request_id_of
from paddock.server.tracing.record import Asked, RequestTrace, Times

Value = str | bool | int | float | list[str]
CONTEXT_HEADERS = (b"traceparent", b"tracestate")


class RequestSpans:
    """Where requests that have ended are written. Writing puts them in a queue and never waits."""

    def __init__(self, provider: TracerProvider) -> None:
        self._tracer = provider.get_tracer("paddock", __version__)

    def write(self, trace: RequestTrace, scope: Scope, status: int, ended: float) -> None:
        """`status` is that of the HTTP answer; `ended` in seconds since the epoch."""
        times, asked = trace.times(), trace.asked
        span = self._tracer.start_span(
            trace.operation if asked is None else f"{trace.operation} {asked.model}",
            _callers_context(scope),
            SpanKind.SERVER,
            dict(_attributes(trace, times, scope, status)),
            start_time=_nanoseconds(trace.started),
        )
        if span.is_recording():  # its trace may not be among the sampled ones
            if status >= 500 or trace.failed:
                _mark_failed(span, status)
            inside = set_span_in_context(span)
            generates = asked is not None and asked.first.pooling is None
            of_steps = _by_phase(trace.spent())
            for phase in () if times is None else times.phases(trace.started, ended, generates=generates):
                spent = of_steps.get(phase.name, {})
                started = _nanoseconds(phase.started)
                self._tracer.start_span(phase.name, inside, attributes=spent, start_time=started).end(
                    _nanoseconds(phase.ended)
                )
        span.end(_nanoseconds(ended))


def _callers_context(scope: Scope) -> Context:
    """The caller's span, by W3C Trace Context; empty where it named none, or not properly."""
    carrier: dict[str, str] = {}
    for name, value in scope["headers"]:
        if name in CONTEXT_HEADERS:
            carrier.setdefault(name.decode(), value.decode("latin-1"))
    return TraceContextTextMapPropagator().extract(carrier, Context())


def _mark_failed(span: Span, status: int) -> None:
    span.set_attribute("error.type", str(status) if status >= 500 else "engine")
    span.set_status(Status(StatusCode.ERROR))


def _attributes(
    trace: RequestTrace, times: Times | None, scope: Scope, status: int
) -> Iterator[tuple[str, Value]]:
    yield "gen_ai.operation.name", trace.operation
    yield "gen_ai.provider.name", "paddock"
    yield "gen_ai.request.id", request_id_of(scope)
    yield "http.request.method", scope["method"]
    yield "http.route", scope["path"].removeprefix(scope["root_path"])
    yield "http.response.status_code", status
    if trace.asked is not None:
        yield from _of_request(trace.asked).items()
    if trace.ends:
        yield "gen_ai.response.finish_reasons", trace.ends
    if times is not None:
        yield from _of_times(times).items()
    spent = trace.spent()
    if spent is not None:
        yield from _of_steps(spent.total).items()


def _of_request(asked: Asked) -> Mapping[str, Value]:
    tokens = asked.tokens
    made: dict[str, Value] = {
        "gen_ai.request.model": asked.model,
        "gen_ai.response.model": asked.model,
        "gen_ai.usage.input_tokens": tokens.prompt_tokens,
    }
    if asked.first.pooling is not None:
        return made
    sampling = asked.first.sampling
    made |= {
        "gen_ai.request.choice.count": asked.num_choices,
        "gen_ai.request.stream": asked.stream,
        "gen_ai.request.max_tokens": sampling.max_tokens,
        "gen_ai.request.temperature": sampling.temperature,
        "gen_ai.request.top_p": sampling.top_p,
        "gen_ai.request.top_k": sampling.top_k,
        "gen_ai.request.frequency_penalty": sampling.frequency_penalty,
        "gen_ai.request.presence_penalty": sampling.presence_penalty,
        "gen_ai.usage.output_tokens": tokens.completion_tokens,
        "gen_ai.usage.cache_read.input_tokens": tokens.cached_tokens,
    }
    return made


def _of_times(times: Times) -> Mapping[str, Value]:
    """In seconds, and equal to what the request added to the histograms of these names."""
    return {
        "gen_ai.latency.time_in_queue": times.scheduled - times.arrival,
        "gen_ai.latency.time_to_first_token": times.first_token - times.arrival,
        "gen_ai.latency.time_in_model_prefill": times.first_token - times.scheduled,
        "gen_ai.latency.time_in_model_decode": times.last_token - times.first_token,
        "gen_ai.latency.time_in_model_inference": times.last_token - times.scheduled,
        "gen_ai.latency.e2e": times.last_token - times.arrival,
    }


def _by_phase(spent: PhaseSeconds | None) -> Mapping[str, Mapping[str, Value]]:
    """Attributes of those phases that are made of steps."""
    if spent is None:
        return {}
    return {"prefill": _of_steps(spent.prefill), "decode": _of_steps(spent.decode)}


def _of_steps(seconds: StepSeconds) -> Mapping[str, Value]:
    """--collect-detailed-traces; absent is what it does not name."""
    parts = {
        "gen_ai.latency.time_in_model_forward": seconds.model,
        "gen_ai.latency.time_in_model_execute": seconds.worker,
    }
    return {name: value for name, value in parts.items() if value is not None}


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1e9)
