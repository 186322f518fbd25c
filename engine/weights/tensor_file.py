"""One file of a checkpoint, whatever its format: names, shapes, and tensors or parts of them."""

from collections.abc import Collection
from pathlib import Path
from typing import Protocol

import torch


class TensorFile(Protocol):
    """Opening reads the names only, as far as the format allows; `read` copies no more than the part asked for."""

    path: Path

    def names(self) -> Collection[str]: ...

    def shape(self, name: str) -> tuple[int, ...]: ...

    def dtype(self, name: str) -> str:
        """As torch calls it, such as `bfloat16`."""
        ...

    def read(self, name: str, part: tuple[slice, ...]) -> torch.Tensor:
        """The tensor on the CPU, or where its file is told to be loaded; an empty `part` is all of it."""
        ...


FETCH_AGAIN = "download or copy the checkpoint again"


def dtype_name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
