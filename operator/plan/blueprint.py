"""What a spec means: everything that is decided before any live object is looked at."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType
from typing import Any, TypeVar

from pydantic import ValidationError

from paddock.engine.config import ServeConfig, Sourced, SpecError, group_schemas, read_spec, to_argv
from paddock.operator.adapters import Adapters
from paddock.operator.plan.adapter_volumes import (
    AdapterVolume,
    adapter_volumes,
    with_adapters,
    without_fetched,
)
from paddock.operator.plan.configuration import configuration
from paddock.operator.plan.fetched_adapters import FetchedAdapters, fetched_adapters, fetches
from paddock.operator.plan.host_paths import HostPathPolicy
from paddock.operator.plan.layout import Layout, layout
from paddock.operator.plan.memory import memory_plan
from paddock.operator.plan.model_download import ModelDownload, model_download
from paddock.operator.plan.model_source import ModelSource, model_source
from paddock.operator.plan.refusal import Refusal
from paddock.operator.plan.revision import revision_of
from paddock.operator.plan.survey import Survey
from paddock.operator.resource import MODEL_PATH, InferenceService, OperatorSpec, operator_spec_schema
from paddock.operator.source import DOWNLOADED

Read = TypeVar("Read")

DEFAULT_PORT = 8000
_LORA = "spec.lora"
_HUB_TOKEN = ("HF_TOKEN", "hf-token")
_SECRETS = (
    ("frontend", "apiKeySecretRef", "PADDOCK_API_KEY", "api-key"),
    ("model", "hfTokenSecretRef", *_HUB_TOKEN),
)


@dataclass(frozen=True)
class Blueprint:
    """An accepted spec.

    `memory` is status.plan; `layout` cuts a group into pods; `arguments` follow `serve MODEL`; `scheme` is what the pods speak, http or https; `secrets` maps variables
    to {name, key}; `configuration` is what status shows; `warnings` are for the user, as of deprecated
    arguments.
    """

    service: InferenceService
    spec: OperatorSpec
    source: ModelSource | ModelDownload
    layout: Layout
    arguments: tuple[str, ...]
    port: int
    scheme: str
    secrets: Mapping[str, Mapping[str, str]]
    revision: str
    configuration: tuple[Mapping[str, str], ...] = ()
    memory: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    adapters: tuple[AdapterVolume, ...] = ()
    fetched: FetchedAdapters | None = None
    """None where pods cannot take adapters while they run."""

    @classmethod
    def of(
        cls,
        service: InferenceService,
        host_paths: HostPathPolicy,
        accelerator: str = "",
        surveys: Mapping[str, Survey] = MappingProxyType({}),
    ) -> Blueprint:
        """Raises Refusal, naming every field at fault, for a spec that passed the schema and cannot be
        served. `accelerator`: resource of which a rank takes one, where the spec does not say. `surveys`: what pods
        read of the model's files, by revision.
        """
        spec = _validated(service.operator_spec)
        warnings: list[str] = []
        given = _serve_config(service, warnings.append)
        config, secrets = given.config, _secrets(service.spec)
        adapters = _adapters(service, config)
        model = service.spec.get("model") or {}
        cut = layout(config, spec, accelerator)
        fetched = _fetched(service, adapters, config, secrets.get(_HUB_TOKEN), host_paths)
        of_pods = without_fetched(service.spec, adapters.adapters or ())
        revision = revision_of(of_pods, spec_schema(), cut.nodes, fetches_adapters=fetched is not None)
        memory = memory_plan(config, cut, spec, service, accelerator, revision, surveys.get(revision))
        return cls(
            service=service,
            spec=spec,
            source=_source(service, config, secrets.get(_HUB_TOKEN), host_paths),
            layout=cut,
            arguments=_arguments(service, config),
            port=config.frontend.port or DEFAULT_PORT,
            scheme="https" if config.frontend.ssl_certfile else "http",
            secrets={variable: ref for (variable, _), ref in secrets.items()},
            revision=revision,
            configuration=configuration(
                given,
                service.name,
                str(model.get("uri", "")),
                {argument: ref for (_, argument), ref in secrets.items()},
            ),
            memory=memory,
            warnings=tuple(warnings),
            adapters=adapter_volumes(adapters.adapters or (), host_paths),
            fetched=fetched,
        )


@cache
def spec_schema() -> dict[str, Any]:
    """Schema of each field of the spec, for the defaults in it."""
    return {**group_schemas(), **operator_spec_schema()}


def _validated(read: Callable[[], Read], where: str = "spec") -> Read:
    try:
        return read()
    except ValidationError as error:
        lines = [f"{where}.{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        raise Refusal("InvalidSpec", "; ".join(lines)) from error


def _serve_config(service: InferenceService, warn: Callable[[str], None]) -> Sourced:
    try:
        spec = with_adapters(service.spec, _validated(service.adapters, _LORA).adapters or ())
        given = read_spec(spec, model_path=MODEL_PATH, warn=warn)
    except SpecError as error:
        raise Refusal(
            "InvalidSpec", "; ".join(f"{path}: {message}" for path, message in error.errors)
        ) from error
    return given


def _arguments(service: InferenceService, config: ServeConfig) -> tuple[str, ...]:
    """The model is known to clients by the resource's name unless the spec names it otherwise. To the pods it is a
    folder, so its revision is the download's affair.
    """
    named = () if config.model.served_model_name else ("--served-model-name", service.name)
    of_folder = config.model.model_copy(update={"revision": None})
    return (*named, *to_argv(config.model_copy(update={"model": of_folder})))


def _adapters(service: InferenceService, config: ServeConfig) -> Adapters:
    """Raises Refusal for a name that something else has."""
    found = _validated(service.adapters, _LORA)
    modules = {module["name"] for module in (service.spec.get("frontend") or {}).get("loraModules") or ()}
    for adapter in found.adapters or ():
        if adapter.name in modules:
            raise Refusal(
                "InvalidSpec",
                f"spec.lora.adapters: {adapter.name} is in spec.frontend.loraModules, too; name it once",
            )
        if adapter.name in (config.model.served_model_name or (service.name,)):
            raise Refusal(
                "InvalidSpec",
                f"spec.lora.adapters: {adapter.name} is the name of the model; requests choose by name, so give the adapter "
                "another",
            )
    return found


def _fetched(
    service: InferenceService,
    adapters: Adapters,
    config: ServeConfig,
    token: Mapping[str, str] | None,
    host_paths: HostPathPolicy,
) -> FetchedAdapters | None:
    if not fetches(service.spec.get("lora") or {}, adapters):
        return None
    uri = str((service.spec.get("model") or {}).get("uri", ""))
    port = config.frontend.port or DEFAULT_PORT
    of_model = _validated(service.source)
    return fetched_adapters(adapters, uri, of_model, token, service.namespace, host_paths, port)


def _source(
    service: InferenceService,
    config: ServeConfig,
    token: Mapping[str, str] | None,
    host_paths: HostPathPolicy,
) -> ModelSource | ModelDownload:
    uri = str((service.spec.get("model") or {}).get("uri", ""))
    if re.match(DOWNLOADED, uri):
        source = _validated(service.source)
        return model_download(uri, source, config, token, service.namespace, host_paths)
    if config.model.revision is not None:
        raise Refusal(
            "InvalidSpec",
            f"spec.model.revision: {config.model.revision} chooses a revision of an hf:// model, and {uri} is none: leave "
            "it out",
        )
    return model_source(uri, host_paths)


def _secrets(spec: Mapping[str, Any]) -> dict[tuple[str, str], Mapping[str, str]]:
    """{name, key} of a Secret by the variable and the argument that take its value."""
    found = (
        ((variable, argument), (spec.get(group) or {}).get(field))
        for group, field, variable, argument in _SECRETS
    )
    return {target: {"name": ref["name"], "key": ref["key"]} for target, ref in found if ref}
