"""Every serve argument: one schema for the command line, the YAML file and the InferenceService."""

from paddock.engine.config.argv import to_argv
from paddock.engine.config.cache import CacheConfig
from paddock.engine.config.effective import effective, print_config
from paddock.engine.config.engine import EngineConfig
from paddock.engine.config.frontend import FrontendConfig
from paddock.engine.config.help import help_text
from paddock.engine.config.layer import Sourced
from paddock.engine.config.load import LoadConfig
from paddock.engine.config.lora import LoRAConfig
from paddock.engine.config.manifest.spec_writer import to_spec
from paddock.engine.config.model import ModelConfig
from paddock.engine.config.multimodal import MultiModalConfig
from paddock.engine.config.observability import ObservabilityConfig
from paddock.engine.config.parallel import ParallelConfig
from paddock.engine.config.problems import ArgumentError, SpecError
from paddock.engine.config.rules import DEFAULT_MAX_NUM_BATCHED_TOKENS, DEFAULT_MAX_NUM_SEQS
from paddock.engine.config.scheduler import SchedulerConfig
from paddock.engine.config.schema import cross_group_rules, dialect_rules, dialect_schemas, group_schemas
from paddock.engine.config.serve import ServeConfig
from paddock.engine.config.service import ServiceConfig
from paddock.engine.config.sources import parse_serve, read_sources
from paddock.engine.config.spec import from_spec, read_spec
from paddock.engine.config.structured_outputs import StructuredOutputsConfig
from paddock.engine.config.worker import WorkerConfig

__all__ = [
    "DEFAULT_MAX_NUM_BATCHED_TOKENS",
    "DEFAULT_MAX_NUM_SEQS",
    "ArgumentError",
    "CacheConfig",
    "EngineConfig",
    "FrontendConfig",
    "LoRAConfig",
    "LoadConfig",
    "ModelConfig",
    "MultiModalConfig",
    "ObservabilityConfig",
    "ParallelConfig",
    "SchedulerConfig",
    "ServeConfig",
    "ServiceConfig",
    "Sourced",
    "SpecError",
    "StructuredOutputsConfig",
    "WorkerConfig",
    "cross_group_rules",
    "dialect_rules",
    "dialect_schemas",
    "effective",
    "from_spec",
    "group_schemas",
    "help_text",
    "parse_serve",
    "print_config",
    "read_sources",
    "read_spec",
    "to_argv",
    "to_spec",
]
