"""Safetensors files: mapped and read piece by piece, or read whole into memory first."""

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from paddock.engine.models.errors import CheckpointError
from paddock.engine.weights.tensor_file import FETCH_AGAIN, dtype_name

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
"""The format's names of the types that a checkpoint may hold."""

LENGTH_BYTES = 8
"""Of the header's length, in front of the header."""


class MappedSafetensors:
    """Lazy: pages come from the disk as the parts of tensors are copied."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._handle = open_mapped(path)
        self._names = list(self._handle.keys())

    def names(self) -> Collection[str]:
        return self._names

    def shape(self, name: str) -> tuple[int, ...]:
        return tuple(self._handle.get_slice(name).get_shape())

    def dtype(self, name: str) -> str:
        stored = self._handle.get_slice(name).get_dtype()
        return dtype_name(DTYPES[stored]) if stored in DTYPES else str(stored)

    def read(self, name: str, part: tuple[slice, ...]) -> torch.Tensor:
        stored = self._handle.get_slice(name)
        if not stored.get_shape():  # a single number cannot be cut
            return self._handle.get_tensor(name)  # type: ignore[no-any-return]
        tensor: torch.Tensor = stored[part or slice(None)]
        return tensor


class WholeSafetensors:
    """Eager: one sequential read, which a network file system serves far faster than scattered pages.

    The header is checked by the library at once; the tensors are read when the first of them is asked for.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        open_mapped(path)
        with path.open("rb") as file:
            self._start = LENGTH_BYTES + int.from_bytes(file.read(LENGTH_BYTES), "little")
            header: dict[str, Any] = json.loads(file.read(self._start - LENGTH_BYTES))
        header.pop("__metadata__", None)
        self._header = header
        self._data: bytearray | None = None

    def names(self) -> Collection[str]:
        return self._header.keys()

    def shape(self, name: str) -> tuple[int, ...]:
        return tuple(self._header[name]["shape"])

    def dtype(self, name: str) -> str:
        stored = self._header[name]["dtype"]
        return dtype_name(DTYPES[stored]) if stored in DTYPES else str(stored)

    def read(self, name: str, part: tuple[slice, ...]) -> torch.Tensor:
        if self._data is None:
            self._data = bytearray(self.path.stat().st_size)
            with self.path.open("rb", buffering=0) as file:
                _read_into(file, self._data)
        begin, end = self._header[name]["data_offsets"]
        raw = torch.frombuffer(self._data, dtype=torch.uint8, count=end - begin, offset=self._start + begin)
        whole = raw.view(DTYPES[self._header[name]["dtype"]]).view(self.shape(name))
        return whole[part] if part else whole


def _read_into(file: Any, data: bytearray) -> None:
    """One call reads 2 GiB at most."""
    view, done = memoryview(data), 0
    while count := file.readinto(view[done:]):
        done += count
    if done < len(data):
        raise OSError(f"the file ended after {done} of {len(data)} bytes")


def open_mapped(path: Path) -> Any:
    """Only the header is read. Raises `CheckpointError` for a file that is not whole."""
    try:
        return safe_open(path, framework="pt", device="cpu")
    except (SafetensorError, OSError) as error:
        size = path.stat().st_size if path.exists() else 0
        raise CheckpointError(
            f"{path}: is corrupt or cut short ({size} bytes: {error}); {FETCH_AGAIN}."
        ) from None
