"""What a collector learns of requests: one span each, its phases, and whose trace it belongs to."""

import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import httpx
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Status
from otlp_receiver import OtlpReceiver, attributes_of
from serving import free_port

from paddock.engine.pooling.plan import PoolingPlan
from paddock.server.pooling.pooling_model import PoolingModel
from paddock.server.tracing.export import SpanExport, TracingError, protocol_of

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
CONTEXT = {"traceparent": f"00-{TRACE}-{CALLER}-01", "tracestate": "vendor=kept"}
CHAT = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 4}
PLAN = PoolingPlan(
    task="embed", body="BertModel", causal=False, head="none", base_prefix="bert.", pooling="MEAN",
    hidden_size=64,
)  # fmt: skip


@pytest.fixture(scope="module")
def module_receiver() -> Iterator[OtlpReceiver]:
    with OtlpReceiver() as receiver, pytest.MonkeyPatch.context() as variables:
        variables.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
        yield receiver


@pytest.fixture(scope="module")
def client(start_shared: Callable[..., Any], module_receiver: OtlpReceiver) -> Iterator[httpx.Client]:
    export = SpanExport(module_receiver.endpoint, {})
    with httpx.Client(base_url=start_shared(spans=export.spans).url, timeout=20) as client:
        yield client
    export.close()


@pytest.fixture
def receiver(module_receiver: OtlpReceiver) -> OtlpReceiver:
    """It has heard nothing yet."""
    module_receiver.forget()
    return module_receiver


@pytest.fixture
def traced(client: httpx.Client, shared_engine: Any) -> httpx.Client:
    return client


def test_a_span_continues_the_callers_trace_and_holds_the_phases_one_after_another(
    traced: httpx.Client, receiver: OtlpReceiver
) -> None:
    headers = {**CONTEXT, "x-request-id": "mine"}
    body = {**CHAT, "stream": True, "n": 2, "temperature": 0.25, "seed": 7}
    assert traced.post("/v1/chat/completions", json=body, headers=headers).text.endswith("[DONE]\n\n")

    [span] = receiver.wait(1)
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, CALLER)
    assert span.trace_state == "vendor=kept"
    assert span.name == "chat tiny"
    assert (
        attributes_of(span).items()
        >= {
            "gen_ai.operation.name": "chat",
            "gen_ai.request.id": "mine",
            "gen_ai.request.model": "tiny",
            "gen_ai.request.temperature": 0.25,
            "gen_ai.request.choice.count": 2,
            "gen_ai.request.stream": True,
            "gen_ai.response.finish_reasons": ["length", "length"],
            "gen_ai.usage.output_tokens": 8,
            "gen_ai.usage.cache_read.input_tokens": 3,
            "http.response.status_code": 200,
        }.items()
    )
    inside = receiver.inside(span)
    assert [phase.name for phase in inside] == ["tokenize", "queue", "prefill", "decode", "detokenize"]
    assert inside[0].start_time_unix_nano == span.start_time_unix_nano
    assert all(left.end_time_unix_nano == right.start_time_unix_nano for left, right in pairwise(inside))
    assert inside[-1].end_time_unix_nano == span.end_time_unix_nano


def test_a_span_tells_the_latencies_that_the_histograms_counted(
    traced: httpx.Client, receiver: OtlpReceiver
) -> None:
    before = sums(traced)
    traced.post("/v1/completions", json={"prompt": "fox", "max_tokens": 5})

    told = attributes_of(receiver.wait(1)[0])
    for attribute, total in sums(traced).items():
        assert told[attribute] == pytest.approx(total - before[attribute], abs=1e-5)


def sums(client: httpx.Client) -> dict[str, float]:
    """Seconds that the histograms hold, by the attribute that tells those of one request."""
    lines = client.get("/metrics").text.splitlines()
    found = {line.partition("{")[0]: float(line.split()[-1]) for line in lines if "_seconds_sum{" in line}
    return {
        f"gen_ai.latency.{attribute}": found[f"vllm:{series}_sum"]
        for attribute, series in {
            "time_to_first_token": "time_to_first_token_seconds",
            "time_in_queue": "request_queue_time_seconds",
            "time_in_model_prefill": "request_prefill_time_seconds",
            "time_in_model_decode": "request_decode_time_seconds",
            "time_in_model_inference": "request_inference_time_seconds",
            "e2e": "e2e_request_latency_seconds",
        }.items()
    }


def test_a_refused_request_is_told_without_phases_and_what_is_no_work_for_the_model_not_at_all(
    traced: httpx.Client, receiver: OtlpReceiver
) -> None:
    assert traced.post("/tokenize", json={"prompt": "fox"}).status_code == 200
    assert traced.get("/health").status_code == 200
    assert traced.post("/v1/completions", json={"prompt": "fox", "n": 0}).status_code == 400

    [span] = receiver.wait(1)
    assert span.name == "text_completion"
    assert attributes_of(span)["http.response.status_code"] == 400
    assert span.status.code == Status.STATUS_CODE_UNSET  # the caller's fault
    assert receiver.inside(span) == []


def test_a_request_that_the_engine_failed_on_is_marked(
    traced: httpx.Client, receiver: OtlpReceiver, shared_engine: Any
) -> None:
    shared_engine.fault = "a NaN"
    assert traced.post("/v1/chat/completions", json=CHAT).status_code == 500

    [span] = receiver.wait(1)
    assert span.status.code == Status.STATUS_CODE_ERROR
    assert attributes_of(span)["error.type"] == "500"


def test_a_search_is_one_span_from_its_first_round_to_its_last(
    traced: httpx.Client, receiver: OtlpReceiver
) -> None:
    body = {"prompt": "fox", "max_tokens": 4, "n": 2, "use_beam_search": True, "temperature": 0}
    assert traced.post("/v1/completions", json=body).status_code == 200

    [span] = receiver.wait(1)
    [_, _, _, decode, _] = receiver.inside(span)
    assert attributes_of(span)["gen_ai.usage.output_tokens"] == 8
    assert decode.end_time_unix_nano > decode.start_time_unix_nano


def test_a_response_in_the_background_ends_its_span_when_it_is_done(
    traced: httpx.Client, receiver: OtlpReceiver, shared_engine: Any
) -> None:
    shared_engine.hold_after = 2
    body = {"model": "tiny", "input": "Hi", "background": True, "max_output_tokens": 16}
    assert traced.post("/v1/responses", json=body).json()["status"] == "queued"
    answered = time.time_ns()
    shared_engine.hold_after = None

    [span] = receiver.wait(1)
    assert span.end_time_unix_nano > answered
    assert attributes_of(span)["gen_ai.usage.output_tokens"] == 16


def test_an_input_of_a_pooling_model_has_no_phase_of_decoding(
    start_server: Callable[..., Any], receiver: OtlpReceiver, engine: Any
) -> None:
    export = SpanExport(receiver.endpoint, {})
    engine.fault = "no vectors here"
    server = start_server(spans=export.spans, pooling=PoolingModel(PLAN, 4))
    httpx.post(server.url + "/v1/embeddings", json={"input": [[5, 6], [7]]}, timeout=20)
    [span] = receiver.wait(1)
    export.close()

    assert span.name == "embeddings tiny"
    assert attributes_of(span)["gen_ai.usage.input_tokens"] == 3
    assert "gen_ai.usage.output_tokens" not in attributes_of(span)


def test_a_trace_that_its_caller_does_not_sample_is_not_exported(
    traced: httpx.Client, receiver: OtlpReceiver
) -> None:
    for sampled in ("00", "01"):
        headers = {"traceparent": f"00-{TRACE}-{CALLER}-{sampled}"}
        assert traced.post("/v1/chat/completions", json=CHAT, headers=headers).status_code == 200

    receiver.wait(1)
    assert len(receiver.spans) == 6


def test_a_context_that_cannot_be_read_begins_a_new_trace(
    traced: httpx.Client, receiver: OtlpReceiver
) -> None:
    for broken in ("", "00-0-0-01", f"00-{'0' * 32}-{CALLER}-01", "x" * 5000, "\u00fc"):
        headers = {"traceparent": broken.encode("latin-1")}
        assert traced.post("/v1/chat/completions", json=CHAT, headers=headers).status_code == 200

    spans = receiver.wait(5)
    assert {span.parent_span_id for span in spans} == {b""}
    assert len({span.trace_id for span in spans}) == 5


def test_a_collector_that_is_not_there_hurts_neither_requests_nor_the_end(
    start_server: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "4")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4")
    monkeypatch.setattr("paddock.server.tracing.export.FLUSH_SECONDS", 0.2)
    export = SpanExport(f"http://127.0.0.1:{free_port()}/v1/traces", {})
    with httpx.Client(base_url=start_server(spans=export.spans).url, timeout=20) as client:
        for _ in range(5):
            assert client.post("/v1/chat/completions", json=CHAT).status_code == 200
    export.close()


def test_the_resource_is_named_by_the_usual_variables(
    receiver: OtlpReceiver, start_server: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "story-teller")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "k8s.pod.name=tiny-0-0")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "gzip")
    export = SpanExport(
        receiver.endpoint.removesuffix("/v1/traces"), {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}
    )
    httpx.post(start_server(spans=export.spans).url + "/v1/chat/completions", json=CHAT, timeout=20)
    [span] = receiver.wait(1)
    export.close()

    assert len(receiver.inside(span)) == 5
    assert (
        receiver.services[0].items() >= {"service.name": "story-teller", "k8s.pod.name": "tiny-0-0"}.items()
    )
    assert receiver.encodings == {"gzip"}


@pytest.mark.parametrize(
    ("endpoint", "variables", "protocol"),
    [
        ("http://collector:4318/v1/traces", {}, "http/protobuf"),
        ("http://collector:4317", {}, "grpc"),
        ("grpc://collector:4317", {}, "grpc"),
        ("collector:4317", {}, "grpc"),
        ("http://collector:4318", {"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf"}, "http/protobuf"),
        ("http://collector:4318", {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, "http/protobuf"),
    ],
)
def test_the_protocol_follows_the_variables_and_then_the_address(
    endpoint: str, variables: dict[str, str], protocol: str
) -> None:
    assert protocol_of(endpoint, variables) == protocol


def test_an_unknown_protocol_a_bad_variable_and_missing_libraries_are_refused_in_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(
        TracingError, match="TRACES_PROTOCOL is 'http/json'; it must be one of grpc, http/protobuf"
    ):
        SpanExport("http://c/v1/traces", {"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/json"})
    with pytest.raises(
        TracingError, match=r"grpc://c/v1 \(http/protobuf\): an address .* begins with http://"
    ):
        SpanExport("grpc://c/v1", {})
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "0")
    with pytest.raises(TracingError, match=r"http://c/x \(http/protobuf\): max_queue_size must be"):
        SpanExport("http://c/x", {})
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(
        TracingError, match=r"needs opentelemetry\.sdk\.trace: pip install 'paddock\[traces\]'"
    ):
        SpanExport("http://c/v1/traces", {})
