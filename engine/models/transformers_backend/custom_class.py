"""Classes from the code of a model's repository, through transformers' own dynamic modules.

transformers copies the code into a folder of modules before it imports it, because a model's folder may be read-only
and its name no Python name.
"""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from paddock.engine.cache_root import cache_root
from paddock.engine.models.errors import CheckpointError


def custom_class(folder: Path, name: str) -> Any:
    """Import `module.Class` of `folder`, which runs its code. Raises `CheckpointError` for whatever goes wrong in it."""
    from transformers.dynamic_module_utils import get_class_from_dynamic_module

    try:
        with _modules(modules_folder()):
            return get_class_from_dynamic_module(name, str(folder), local_files_only=True)
    except Exception as error:
        raise CheckpointError(
            f"{folder}: the model's own code {name} cannot be imported: {first_line(error)}"
        ) from error


def first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]


@contextmanager
def _modules(folder: Path) -> Iterator[None]:
    """`folder` of modules, locked: the API servers and the ranks of a node copy the same files into it."""
    from transformers import dynamic_module_utils

    # What transformers took from the environment may be where this process cannot write.
    dynamic_module_utils.HF_MODULES_CACHE = str(folder)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@cache
def modules_folder() -> Path:
    """The same for the whole life of a process: packages of modules are imported from one place."""
    return find_modules_folder()


def find_modules_folder() -> Path:
    """HF_MODULES_CACHE, else `modules` in the cache root, else a new temporary folder. Raises `CheckpointError`."""
    chosen = os.environ.get("HF_MODULES_CACHE", "").strip()
    folder = Path(chosen).expanduser() if chosen else cache_root() / "modules"
    if _writable(folder):
        return folder
    if chosen:
        raise CheckpointError(
            f"HF_MODULES_CACHE is {chosen!r}, which cannot be written; name a folder that can."
        )
    try:
        return Path(tempfile.mkdtemp(prefix="paddock-modules-"))
    except OSError as error:
        raise CheckpointError(
            f"--trust-remote-code copies the model's code before it runs, and neither {cache_root()} nor a temporary "
            f"folder can be written ({error.strerror}); set PADDOCK_CACHE_ROOT to a folder that can."
        ) from None


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False
