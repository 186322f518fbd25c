"""What a spec means: everything that is decided before any live object is looked at."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic import ValidationError

from paddock.engine.config import ServeConfig, Sourced, SpecError, group_schemas, read_spec, to_argv
from paddock.operator.plan.configuration import configuration
from paddock.operator.plan.layout import Layout, layout
from paddock.operator.plan.model_source import HostPathPolicy, ModelSource, model_source
from paddock.operator.plan.refusal import Refusal
from paddock.operator.plan.revision import revision_of
from paddock.operator.resource import MODEL_PATH, InferenceService, OperatorSpec, operator_spec_schema

DEFAULT_PORT = 8000
_SECRETS = (
    ("frontend", "apiKeySecretRef", "PADDOCK_API_KEY", "api-key"),
    ("model", "hfTokenSecretRef", "HF_TOKEN", "hf-token"),
)


@dataclass(frozen=True)
class Blueprint:
    """An accepted spec.

    `layout` cuts a group into pods; `arguments` follow `serve MODEL`; `scheme` is what the pods speak, http or https; `secrets` maps variables
    to {name, key}; `configuration` is what status shows; `warnings` are for the user, as of deprecated
    arguments.
    """

    service: InferenceService
    spec: OperatorSpec
    source: ModelSource
    layout: Layout
    arguments: tuple[str, ...]
    port: int
    scheme: str
    secrets: Mapping[str, Mapping[str, str]]
    revision: str
    configuration: tuple[Mapping[str, str], ...] = ()
    warnings: tuple[str, ...] = ()

    @classmethod
    def of(cls, service: InferenceService, host_paths: HostPathPolicy, accelerator: str = "") -> Blueprint:
        """Raises Refusal, naming every field at fault, for a spec that passed the schema and cannot be
        served. `accelerator`: resource of which a rank takes one, where the spec does not say.
        """
        spec = _operator_spec(service)
        warnings: list[str] = []
        given = _serve_config(service, warnings.append)
        config, secrets = given.config, _secrets(service.spec)
        parallel, model = config.parallel, service.spec.get("model") or {}
        cut = layout(parallel.tensor_parallel_size, parallel.pipeline_parallel_size, spec, accelerator)
        return cls(
            service=service,
            spec=spec,
            source=model_source(str(model.get("uri", "")), host_paths),
            layout=cut,
            arguments=_arguments(service, config),
            port=config.frontend.port or DEFAULT_PORT,
            scheme="https" if config.frontend.ssl_certfile else "http",
            secrets={variable: ref for (variable, _), ref in secrets.items()},
            revision=revision_of(service.spec, spec_schema(), cut.nodes),
            configuration=configuration(
                given, service.name, {argument: ref for (_, argument), ref in secrets.items()}
            ),
            warnings=tuple(warnings),
        )


@cache
def spec_schema() -> dict[str, Any]:
    """Schema of each field of the spec, for the defaults in it."""
    return {**group_schemas(), **operator_spec_schema()}


def _operator_spec(service: InferenceService) -> OperatorSpec:
    try:
        return service.operator_spec()
    except ValidationError as error:
        lines = [f"spec.{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        raise Refusal("InvalidSpec", "; ".join(lines)) from error


def _serve_config(service: InferenceService, warn: Callable[[str], None]) -> Sourced:
    try:
        given = read_spec(service.spec, model_path=MODEL_PATH, warn=warn)
    except SpecError as error:
        raise Refusal(
            "InvalidSpec", "; ".join(f"{path}: {message}" for path, message in error.errors)
        ) from error
    return given


def _arguments(service: InferenceService, config: ServeConfig) -> tuple[str, ...]:
    """The model is known to clients by the resource's name unless the spec names it otherwise."""
    named = () if config.model.served_model_name else ("--served-model-name", service.name)
    return (*named, *to_argv(config))


def _secrets(spec: Mapping[str, Any]) -> dict[tuple[str, str], Mapping[str, str]]:
    """{name, key} of a Secret by the variable and the argument that take its value."""
    found = (
        ((variable, argument), (spec.get(group) or {}).get(field))
        for group, field, variable, argument in _SECRETS
    )
    return {target: {"name": ref["name"], "key": ref["key"]} for target, ref in found if ref}
