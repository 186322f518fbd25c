"""`paddock serve --headless`: this node's ranks only, for the API server of another node."""

from collections.abc import Mapping

from paddock.engine.config import ServeConfig
from paddock.engine.distributed.follower import follow
from paddock.engine.distributed.topology import Topology
from paddock.engine.models.checkpoint import resolve_model
from paddock.engine.models.shape import ModelShape
from paddock.engine.settings import EngineSettings, SettingsError
from paddock.server.startup import Timeouts


def follows(config: ServeConfig, environ: Mapping[str, str]) -> bool:
    """Whether another command serves the API: said by `--headless`, or by the launcher that started this one.

    Raises SettingsError when the launcher has not said enough.
    """
    try:
        return config.service.headless or Topology.of(config, environ).follows
    except ValueError as error:
        raise SettingsError(str(error)) from error


def run_headless(config: ServeConfig, environ: Mapping[str, str]) -> int:
    """Follow the leader until it ends; the exit status. Raises CheckpointError, SettingsError or StartError."""
    drain_seconds = Timeouts.read(environ).drain
    model_path = resolve_model(config.model, config.load)
    shape = ModelShape.read(model_path, config.model)
    # Resolved here for its errors alone: the leader's settings hold for every node.
    EngineSettings.resolve(config, shape)
    return follow(config, shape, model_path, environ, drain_seconds)
