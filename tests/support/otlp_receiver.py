"""The receiving end of OTLP over HTTP: spans as a collector would read them."""

import gzip
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any

from loopback_http import LoopbackHttp
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from waiting import until


class OtlpReceiver(LoopbackHttp):
    def __init__(self) -> None:
        self.forget()
        super().__init__(_handler(self._take))
        self.endpoint = f"{self.url}/v1/traces"

    def forget(self) -> None:
        self.spans: list[Span] = []
        self.services: list[dict[str, Any]] = []
        """Attributes of the resource that each export names."""

        self.encodings: set[str] = set()

    @property
    def requests(self) -> list[Span]:
        """The spans of requests, without the phases inside."""
        return [span for span in self.spans if span.kind == Span.SPAN_KIND_SERVER]

    def inside(self, request: Span) -> list[Span]:
        """Its phases, in the order of their starts."""
        found = [span for span in self.spans if span.parent_span_id == request.span_id]
        return sorted(found, key=lambda span: (span.start_time_unix_nano, span.end_time_unix_nano))

    def wait(self, count: int) -> list[Span]:
        """That many requests."""
        until(lambda: len(self.requests) >= count, seconds=20, what=f"{count} requests to be exported")
        return self.requests

    def _take(self, path: str, encoding: str, body: bytes) -> None:
        assert path == "/v1/traces", path
        order = ExportTraceServiceRequest()
        order.ParseFromString(gzip.decompress(body) if encoding == "gzip" else body)
        self.encodings.add(encoding)
        for resource in order.resource_spans:
            self.services.append({entry.key: value_of(entry.value) for entry in resource.resource.attributes})
            for scope in resource.scope_spans:
                self.spans += scope.spans


def attributes_of(span: Span) -> dict[str, Any]:
    return {entry.key: value_of(entry.value) for entry in span.attributes}


def value_of(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    assert kind is not None
    if kind == "array_value":
        return [value_of(each) for each in value.array_value.values]
    return getattr(value, kind)


def _handler(take: Callable[[str, str, bytes], None]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            take(self.path, self.headers.get("content-encoding", ""), body)
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: exports are no news."""

    return Handler
