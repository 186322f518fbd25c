"""Arrays converted once from PyTorch's files (`--load-format npcache`): later starts map them and unpickle nothing."""

import hashlib
import json
import logging
import shutil
import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from paddock.engine.models.errors import CheckpointError
from paddock.engine.weights.pickled_file import PickledFile
from paddock.engine.weights.tensor_file import TensorFile, dtype_name

logger = logging.getLogger(__name__)

CONTENTS = "contents.json"


class CachedArrays:
    """A folder with one .npy file per tensor and a list of them. Raises `CheckpointError`."""

    def __init__(self, folder: Path) -> None:
        self.path = folder
        try:
            self._contents: dict[str, Any] = json.loads((folder / CONTENTS).read_text())
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{folder}: is no cache of arrays ({error}); remove the folder.") from None

    def names(self) -> Collection[str]:
        return self._contents.keys()

    def shape(self, name: str) -> tuple[int, ...]:
        return tuple(self._contents[name]["shape"])

    def dtype(self, name: str) -> str:
        return str(self._contents[name]["dtype"])

    def read(self, name: str, part: tuple[slice, ...]) -> torch.Tensor:
        entry = self._contents[name]
        # Copy-on-write: torch wants writable memory, and nothing is ever written.
        array = np.load(self.path / entry["file"], mmap_mode="c", allow_pickle=False)
        whole = torch.from_numpy(array).view(getattr(torch, entry["dtype"]))
        return whole[part] if part else whole


def cached_arrays(files: Sequence[Path], cache_root: Path) -> CachedArrays:
    """The arrays of these files, converted now when they are not there yet."""
    folder = cache_root / "arrays" / _fingerprint(files)
    if not folder.is_dir():
        logger.info("converting %d files to arrays in %s", len(files), folder)
        _convert([PickledFile(file, "cpu") for file in files], folder)
    return CachedArrays(folder)


def _fingerprint(files: Sequence[Path]) -> str:
    """Another download, or the same file changed in place, is converted anew."""
    digest = hashlib.sha256()
    for file in files:
        status = file.stat()
        digest.update(f"{file.resolve()} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:32]


def _convert(files: Sequence[TensorFile], folder: Path) -> None:
    """Written beside its place and renamed into it, so that a cache is whole or not there."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(dir=folder.parent, prefix="unfinished-"))
    except OSError as error:
        raise CheckpointError(
            f"load_format 'npcache': {folder.parent} cannot be written ({error.strerror}); set PADDOCK_CACHE_ROOT to a "
            "folder that can, or use load_format 'pt'."
        ) from None
    try:
        _write(files, unfinished)
        unfinished.rename(folder)
    except OSError as error:
        # Another process may have been first; its result is as good.
        if not folder.is_dir():
            raise CheckpointError(f"{folder}: cannot be written ({error}); free some space.") from None
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _write(files: Sequence[TensorFile], folder: Path) -> None:
    contents: dict[str, Any] = {}
    for file in files:
        for name in file.names():
            tensor = file.read(name, ()).contiguous()
            dtype = dtype_name(tensor.dtype)
            stored = f"{len(contents)}.npy"
            # numpy lacks bfloat16: it is stored as the integers of its bits.
            plain = tensor.view(torch.int16) if tensor.dtype == torch.bfloat16 else tensor
            np.save(folder / stored, plain.numpy(), allow_pickle=False)
            contents[name] = {"file": stored, "dtype": dtype, "shape": list(tensor.shape)}
    (folder / CONTENTS).write_text(json.dumps(contents))
