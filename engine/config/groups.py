"""The argument groups by the name of their attribute in `ServeConfig`."""

from paddock.engine.config.argument import Group
from paddock.engine.config.cache import CacheConfig
from paddock.engine.config.engine import EngineConfig
from paddock.engine.config.frontend import FrontendConfig
from paddock.engine.config.load import LoadConfig
from paddock.engine.config.lora import LoRAConfig
from paddock.engine.config.model import ModelConfig
from paddock.engine.config.multimodal import MultiModalConfig
from paddock.engine.config.observability import ObservabilityConfig
from paddock.engine.config.parallel import ParallelConfig
from paddock.engine.config.scheduler import SchedulerConfig
from paddock.engine.config.service import ServiceConfig
from paddock.engine.config.structured_outputs import StructuredOutputsConfig
from paddock.engine.config.worker import WorkerConfig

GROUPS: dict[str, type[Group]] = {
    "model": ModelConfig,
    "load": LoadConfig,
    "structured_outputs": StructuredOutputsConfig,
    "parallel": ParallelConfig,
    "cache": CacheConfig,
    "multimodal": MultiModalConfig,
    "lora": LoRAConfig,
    "observability": ObservabilityConfig,
    "scheduler": SchedulerConfig,
    "frontend": FrontendConfig,
    "engine": EngineConfig,
    "service": ServiceConfig,
    "worker": WorkerConfig,
}
