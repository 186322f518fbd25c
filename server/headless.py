"""`paddock serve --headless`: this node's ranks or replicas only, for the API server of another node."""

from collections.abc import Mapping

from paddock.engine.config import ServeConfig
from paddock.engine.data_parallel.node import follow_head
from paddock.engine.data_parallel.replicas import Replicas, replica_problem
from paddock.engine.distributed.follower import follow
from paddock.engine.distributed.topology import Topology
from paddock.engine.models.checkpoint import resolve_model
from paddock.engine.models.shape import ModelShape
from paddock.engine.settings import EngineSettings, SettingsError
from paddock.server.startup import StartError, Timeouts


def follows(config: ServeConfig, environ: Mapping[str, str]) -> bool:
    """Whether another command serves the API: said by `--headless`, or by the launcher that started this one.

    Raises SettingsError when the launcher has not said enough, or the replicas' sizes and places cannot be.
    """
    problem = replica_problem(config)
    if problem is not None:
        raise SettingsError(problem)
    try:
        return config.service.headless or Topology.of(config, environ).follows
    except ValueError as error:
        raise SettingsError(str(error)) from error


def run_headless(config: ServeConfig, environ: Mapping[str, str]) -> int:
    """Follow the leader until it ends; the exit status. Raises CheckpointError, SettingsError or StartError."""
    drain_seconds = Timeouts.read(environ).drain
    model_path = resolve_model(config.model, config.load)
    shape = ModelShape.read(model_path, config.model)
    # Resolved here for its errors alone: the leader's settings hold for every node, and engines resolve their own.
    EngineSettings.resolve(config, shape)
    run = follow_head if Replicas.of(config).spans_nodes else follow
    try:
        return run(config, shape, model_path, environ, drain_seconds)
    except OSError as error:
        raise StartError(f"this node's processes cannot be started: {error}.") from error
