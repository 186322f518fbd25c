"""Every serve argument of one instance, by group."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationInfo, model_validator

from paddock.engine.config.argument import Structure
from paddock.engine.config.cache import CacheConfig
from paddock.engine.config.engine import EngineConfig
from paddock.engine.config.frontend import FrontendConfig
from paddock.engine.config.load import LoadConfig
from paddock.engine.config.lora import LoRAConfig
from paddock.engine.config.model import ModelConfig
from paddock.engine.config.multimodal import MultiModalConfig
from paddock.engine.config.observability import ObservabilityConfig
from paddock.engine.config.parallel import ParallelConfig
from paddock.engine.config.problems import Refusals
from paddock.engine.config.refusals import refusals
from paddock.engine.config.scheduler import SchedulerConfig
from paddock.engine.config.service import ServiceConfig
from paddock.engine.config.structured_outputs import StructuredOutputsConfig
from paddock.engine.config.translation import replace_deprecated
from paddock.engine.config.worker import WorkerConfig

UNJUDGED: Mapping[str, Any] = {"judged": False}
"""Validation context of a draft: types are checked, but not what the engine can act on."""


class ServeConfig(Structure):
    """The configuration of one `paddock serve`; frozen, and free of derived values.

    However it is made, deprecated fields have moved to their successors, and no value is in it that the
    engine cannot act on.
    """

    model: ModelConfig = ModelConfig()
    load: LoadConfig = LoadConfig()
    structured_outputs: StructuredOutputsConfig = StructuredOutputsConfig()
    parallel: ParallelConfig = ParallelConfig()
    cache: CacheConfig = CacheConfig()
    multimodal: MultiModalConfig = MultiModalConfig()
    lora: LoRAConfig = LoRAConfig()
    observability: ObservabilityConfig = ObservabilityConfig()
    scheduler: SchedulerConfig = SchedulerConfig()
    frontend: FrontendConfig = FrontendConfig()
    engine: EngineConfig = EngineConfig()
    service: ServiceConfig = ServiceConfig()
    worker: WorkerConfig = WorkerConfig()

    @model_validator(mode="before")
    @classmethod
    def _translate(cls, groups: object) -> object:
        if not isinstance(groups, Mapping) or not all(isinstance(group, str) for group in groups):
            return groups
        raw = {group: _given(values) for group, values in groups.items()}
        translated, _, problems = replace_deprecated(raw)
        if problems:
            raise Refusals(problems)
        return translated

    @model_validator(mode="after")
    def _refuse(self, info: ValidationInfo) -> "ServeConfig":
        if info.context == UNJUDGED:
            return self
        if problems := refusals(dict(self)):
            raise Refusals(problems)
        return self


def _given(values: object) -> Any:
    """Reduce a group to what was set, so that defaults stay apart from choices."""
    if isinstance(values, BaseModel):
        return {name: getattr(values, name) for name in values.model_fields_set}
    return values
