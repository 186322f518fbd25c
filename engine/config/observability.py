"""Traces and metrics."""

from typing import Annotated, Literal

from annotated_types import MaxLen
from pydantic import Strict

from paddock.engine.config.argument import Group, State, arg
from paddock.engine.config.values import Text


class ObservabilityConfig(Group):
    """Traces and metrics."""

    collect_detailed_traces: (
        Annotated[tuple[Literal["all", "model", "worker"], ...], Strict(False), MaxLen(3)] | None
    ) = arg(
        None,
        "Each request's span, and its phases of prefill and decoding, tell what its steps took in the named modules: "
        "in the model's forward pass, or in all of the worker. At a cost in speed.",
        state=State.WORKS,
    )

    otlp_traces_endpoint: Text | None = arg(
        None,
        "Spans of every request are exported to this OpenTelemetry collector: over HTTP where the address has a path, "
        "as http://collector:4318/v1/traces, else over gRPC, as http://collector:4317; or as "
        "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL says.",
        state=State.WORKS,
        pattern=r"^((https?|grpc)://)?[!-.0-~]+(/[!-~]*)?$",
    )

    show_hidden_metrics_for_version: Text | None = arg(
        None,
        "Deprecated metrics that a dashboard written for this release, as 0.9, still queries are exposed again: "
        "those deprecated in it or later.",
        state=State.WORKS,
        pattern=r"^[0-9]{1,4}\.[0-9]{1,4}(\.[0-9]{1,4})?$",
    )
