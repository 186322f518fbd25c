"""Which class of worker runs the model: the engine's, or the user's (`--worker-cls`, `--worker-extension-cls`)."""

from typing import TYPE_CHECKING

from paddock.engine.dotted_path import DottedPathError, load_class
from paddock.engine.settings import SettingsError
from paddock.engine.worker.extension import extended
from paddock.engine.worker.worker import Worker

if TYPE_CHECKING:
    from paddock.engine.config import ServeConfig


def worker_class(config: "ServeConfig") -> type[Worker]:
    """Raises `SettingsError` when a path leads to no fitting class."""
    extension = config.parallel.worker_extension_cls
    base = _base(config.parallel.worker_cls)
    return extended(base, extension) if extension else base


def _base(path: str) -> type[Worker]:
    if path == "auto":
        return Worker
    try:
        return load_class(path, Worker)
    except DottedPathError as error:
        raise SettingsError(f"--worker-cls: {error}") from error
