"""PyTorch's own files (.bin, .pt), by the loader that makes tensors only and runs no code from the file."""

import pickle
import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch

from paddock.engine.models.errors import CheckpointError
from paddock.engine.weights.tensor_file import FETCH_AGAIN, dtype_name


class PickledFile:
    """Archives since torch 1.6 are mapped, older files are read whole. Raises `CheckpointError`."""

    def __init__(self, path: Path, map_location: str | dict[str, str]) -> None:
        self.path = path
        self._tensors = _state_dict(_load(path, map_location), path)

    def names(self) -> Collection[str]:
        return self._tensors.keys()

    def shape(self, name: str) -> tuple[int, ...]:
        return tuple(self._tensors[name].shape)

    def dtype(self, name: str) -> str:
        return dtype_name(self._tensors[name].dtype)

    def read(self, name: str, part: tuple[slice, ...]) -> torch.Tensor:
        return self._tensors[name][part] if part else self._tensors[name]


def _load(path: Path, map_location: str | dict[str, str]) -> Any:
    try:
        mapped = zipfile.is_zipfile(path)
        return torch.load(path, map_location=map_location, weights_only=True, mmap=mapped)
    except pickle.UnpicklingError as error:
        if "WeightsUnpickler" not in str(error) and "Unsupported" not in str(error):
            raise _corrupt(path, error) from None
        raise CheckpointError(
            f"{path}: holds Python objects other than tensors, which are not loaded because they can run code; "
            "convert the checkpoint to safetensors where you trust it."
        ) from None
    except (RuntimeError, OSError, EOFError, ValueError, KeyError) as error:
        if "deserialize object on" in str(error) or "CUDA" in str(error):
            raise CheckpointError(
                f"{path}: cannot be loaded with --pt-load-map-location {map_location!r} ({_first_line(error)}); name "
                "devices of this machine, such as cpu."
            ) from None
        raise _corrupt(path, error) from None


def _corrupt(path: Path, error: Exception) -> CheckpointError:
    size = path.stat().st_size if path.exists() else 0
    return CheckpointError(
        f"{path}: is corrupt or cut short ({size} bytes: {_first_line(error)}); {FETCH_AGAIN}."
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]


def _state_dict(loaded: object, path: Path) -> dict[str, torch.Tensor]:
    if isinstance(loaded, Mapping) and isinstance(loaded.get("state_dict"), Mapping):
        loaded = loaded["state_dict"]
    tensors = loaded if isinstance(loaded, Mapping) else {}
    if not tensors or not all(isinstance(value, torch.Tensor) for value in tensors.values()):
        raise CheckpointError(
            f"{path}: is no state dict of tensors by name; {FETCH_AGAIN}, or name another load format."
        )
    return dict(tensors)
