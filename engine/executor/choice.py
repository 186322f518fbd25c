"""Which executor runs the model. Torch is loaded by the one that needs it."""

from pathlib import Path
from typing import TYPE_CHECKING

from paddock.engine.data_parallel.replica_tie import shares_experts
from paddock.engine.data_parallel.replicas import Replicas
from paddock.engine.distributed.topology import Topology
from paddock.engine.executor.base import Executor
from paddock.engine.models.shape import ModelShape
from paddock.engine.settings import EngineSettings

if TYPE_CHECKING:
    from paddock.engine.config import ServeConfig


def make_executor(settings: EngineSettings, config: "ServeConfig", shape: ModelShape, path: Path) -> Executor:
    """One rank runs in this process, unless `--distributed-executor-backend` asks for one of its own; several have a
    process each, and so has one that shares experts with other nodes: what hangs in a collective cannot notice more."""
    backend = config.parallel.distributed_executor_backend
    apart = backend in ("mp", "external_launcher") or (
        backend is None and shares_experts(config) and Replicas.of(config).spans_nodes
    )
    if apart or Topology.of(config).world_size > 1:
        from paddock.engine.executor.mp import MpExecutor

        return MpExecutor(settings, config, shape, path)
    from paddock.engine.executor.uni import UniExecutor

    return UniExecutor(settings, config, shape, path)
