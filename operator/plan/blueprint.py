"""What a spec means: everything that is decided before any live object is looked at."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic import ValidationError

from paddock.engine.config import ServeConfig, SpecError, from_spec, group_schemas, to_argv
from paddock.operator.plan.model_source import HostPathPolicy, ModelSource, model_source
from paddock.operator.plan.refusal import Refusal
from paddock.operator.plan.revision import revision_of
from paddock.operator.resource import MODEL_PATH, InferenceService, OperatorSpec, operator_spec_schema

DEFAULT_PORT = 8000
_SECRET_VARIABLES = (
    ("frontend", "apiKeySecretRef", "PADDOCK_API_KEY"),
    ("model", "hfTokenSecretRef", "HF_TOKEN"),
)
_ALL_INTERFACES = (None, "", "0.0.0.0", "::")


@dataclass(frozen=True)
class Blueprint:
    """An accepted spec.

    `arguments` follow `serve MODEL`; `secrets` maps variables to {name, key}; `warnings` are for the user, as
    of deprecated arguments.
    """

    service: InferenceService
    spec: OperatorSpec
    source: ModelSource
    arguments: tuple[str, ...]
    port: int
    secrets: Mapping[str, Mapping[str, str]]
    revision: str
    warnings: tuple[str, ...] = ()

    @classmethod
    def of(cls, service: InferenceService, host_paths: HostPathPolicy) -> Blueprint:
        """Raises Refusal, naming every field at fault, for a spec that passed the schema and cannot be
        served.
        """
        spec = _operator_spec(service)
        warnings: list[str] = []
        config = _serve_config(service, warnings.append)
        model = service.spec.get("model") or {}
        return cls(
            service=service,
            spec=spec,
            source=model_source(str(model.get("uri", "")), host_paths),
            arguments=_arguments(service, config),
            port=config.frontend.port or DEFAULT_PORT,
            secrets=_secrets(service.spec),
            revision=revision_of(service.spec, spec_schema()),
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


def _serve_config(service: InferenceService, warn: Callable[[str], None]) -> ServeConfig:
    try:
        config = from_spec(service.spec, model_path=MODEL_PATH, warn=warn)
    except SpecError as error:
        raise Refusal(
            "InvalidSpec", "; ".join(f"{path}: {message}" for path, message in error.errors)
        ) from error
    if config.frontend.host not in _ALL_INTERFACES:
        raise Refusal(
            "InvalidSpec",
            f"spec.frontend.host: {config.frontend.host!r} would hide the server from its probes and Service: "
            "leave it out",
        )
    return config


def _arguments(service: InferenceService, config: ServeConfig) -> tuple[str, ...]:
    """The model is known to clients by the resource's name unless the spec names it otherwise."""
    named = () if config.model.served_model_name else ("--served-model-name", service.name)
    return (*named, *to_argv(config))


def _secrets(spec: Mapping[str, Any]) -> dict[str, Mapping[str, str]]:
    found = ((variable, (spec.get(group) or {}).get(field)) for group, field, variable in _SECRET_VARIABLES)
    return {variable: {"name": ref["name"], "key": ref["key"]} for variable, ref in found if ref}
