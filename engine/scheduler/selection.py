"""Which scheduler serves: the engine's own, or the class that `--scheduler-cls` names."""

from paddock.engine.dotted_path import DottedPathError, load_class
from paddock.engine.kv_cache.cache import KVCache
from paddock.engine.pooling.scheduler import PoolingScheduler
from paddock.engine.scheduler.interface import SchedulerInterface
from paddock.engine.scheduler.scheduler import Scheduler
from paddock.engine.settings import EngineSettings, SettingsError


def scheduler_class(settings: EngineSettings) -> type[SchedulerInterface]:
    """Raises `SettingsError` when the path leads to no scheduler."""
    if settings.pooling is not None:
        return PoolingScheduler
    if settings.scheduler_cls is None:
        return Scheduler
    try:
        # That the base itself is abstract is the point: what is loaded is not.
        return load_class(settings.scheduler_cls, SchedulerInterface)  # type: ignore[type-abstract]
    except DottedPathError as error:
        raise SettingsError(
            f"--scheduler-cls: {error}. Leave it out for the engine's own scheduler."
        ) from error


def make_scheduler(settings: EngineSettings, cache: KVCache, num_stages: int) -> SchedulerInterface:
    """Raises `SettingsError` when the path leads to no scheduler, or its constructor fails."""
    chosen = scheduler_class(settings)
    if settings.scheduler_cls is None:
        return chosen(cache, settings, num_stages)
    try:
        return chosen(cache, settings, num_stages)
    except Exception as error:
        raise SettingsError(
            f"--scheduler-cls: making a {settings.scheduler_cls} failed ({type(error).__name__}: {error})"
        ) from error
