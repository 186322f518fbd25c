"""--otlp-traces-endpoint: a thread that sends spans to an OpenTelemetry collector, by OTLP over gRPC or HTTP.

Which protocol, headers, certificates, queue lengths and sampling there are is said by the usual variables (OTEL_*).
The libraries are an extra, and are loaded where the flag is set.
"""

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from paddock import __version__
from paddock.engine.config import ObservabilityConfig

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace.export import SpanExporter


PROTOCOL_VARIABLES = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
PROTOCOLS = ("grpc", "http/protobuf")
TRACES_PATH = "/v1/traces"
FLUSH_SECONDS = 5.0
"""What the collector has to take the last spans when the server ends."""


class TracingError(Exception):
    """Spans cannot be exported as asked; the text names the flag or the variable."""


class SpanExport:
    """Spans of this process. `close` sends what is left."""

    def __init__(self, endpoint: str, environ: Mapping[str, str]) -> None:
        """Raises TracingError. A collector that does not answer is no error."""
        protocol = protocol_of(endpoint, environ)
        try:
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor

            from paddock.server.tracing.spans import RequestSpans

            processor = BatchSpanProcessor(_exporter(endpoint, protocol))
        except ImportError as error:
            raise TracingError(
                f"--otlp-traces-endpoint needs {error.name}: pip install 'paddock[traces]'."
            ) from None
        except (OSError, ValueError) as error:  # of a variable or a certificate's file
            raise TracingError(f"--otlp-traces-endpoint {endpoint} ({protocol}): {error}.") from error
        self._provider = TracerProvider(resource=_resource(), shutdown_on_exit=False)
        self._provider.add_span_processor(processor)
        self.spans = RequestSpans(self._provider)

    def close(self) -> None:
        """Returns within FLUSH_SECONDS, also when the collector is silent."""
        closing = threading.Thread(target=self._provider.shutdown, daemon=True)
        closing.start()
        closing.join(FLUSH_SECONDS)


def open_export(config: ObservabilityConfig, environ: Mapping[str, str]) -> SpanExport | None:
    """None where no endpoint is set. Raises TracingError."""
    endpoint = config.otlp_traces_endpoint
    return None if endpoint is None else SpanExport(endpoint, environ)


def protocol_of(endpoint: str, environ: Mapping[str, str]) -> str:
    """As the variables say; else HTTP where the address has a path, which gRPC knows none of. Raises TracingError."""
    for name in PROTOCOL_VARIABLES:
        protocol = environ.get(name, "").strip()
        if protocol and protocol not in PROTOCOLS:
            raise TracingError(f"{name} is {protocol!r}; it must be one of {', '.join(PROTOCOLS)}.")
        if protocol:
            return protocol
    return "http/protobuf" if _has_path(endpoint) else "grpc"


def _has_path(endpoint: str) -> bool:
    return bool(urlsplit(endpoint if "://" in endpoint else f"//{endpoint}").path.strip("/"))


def _exporter(endpoint: str, protocol: str) -> "SpanExporter":
    if protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter

        return GrpcExporter(endpoint)
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter

    if not endpoint.startswith(("http://", "https://")):
        raise ValueError("an address for http/protobuf begins with http:// or https://")
    return HttpExporter(endpoint if _has_path(endpoint) else endpoint.rstrip("/") + TRACES_PATH)


def _resource() -> "Resource":
    """Whose spans these are; OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES go before what we say."""
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource

    ours = Resource.create({"service.name": "paddock", "service.version": __version__})
    return ours.merge(OTELResourceDetector().detect())
