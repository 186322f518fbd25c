"""Files of a quantized checkpoint, read as if their weights were plain numbers.

A quantized module then shows one float32 tensor, `weight` `[outputs, inputs]`, in place of those that it is made of.
Only the part asked for is computed, so each rank reads its own share. The tensors of a module may lie in several files.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

import torch

from paddock.engine.models.errors import CheckpointError
from paddock.engine.models.quantization import StoredWeights
from paddock.engine.weights.stored_formats import AwqFormat, Float8Format, GptqFormat
from paddock.engine.weights.tensor_file import FETCH_AGAIN, TensorFile


class StoredFormat(Protocol):
    """How one method keeps the weight of a module."""

    @property
    def marker(self) -> str:
        """Ending of the tensor by which a quantized module is known."""
        ...

    @property
    def endings(self) -> tuple[str, ...]:
        """Of all its tensors that are read here alone."""
        ...

    def shape(self, tensors: "ModuleTensors") -> tuple[int, int]:
        """Outputs and inputs."""
        ...

    def plain(self, tensors: "ModuleTensors", outputs: slice, inputs: slice) -> torch.Tensor:
        """Float32; the slices have ends."""
        ...


class ModuleTensors:
    """The tensors of one module, in whichever file each of them is."""

    def __init__(self, by_name: Mapping[str, TensorFile], module: str) -> None:
        self._by_name, self.module = by_name, module

    def _file(self, name: str) -> TensorFile:
        if name not in self._by_name:
            raise CheckpointError(
                f"the checkpoint lacks tensor {name}, without which {self.module} cannot be read; {FETCH_AGAIN}."
            )
        return self._by_name[name]

    def shape(self, ending: str, dimensions: int = 2) -> tuple[int, ...]:
        name = f"{self.module}.{ending}"
        shape = self._file(name).shape(name)
        if len(shape) != dimensions:
            raise CheckpointError(
                f"{self._file(name).path.name}: tensor {name} has shape {list(shape)}; expected {dimensions} dimensions."
            )
        return shape

    def read(self, ending: str, *part: slice) -> torch.Tensor:
        name = f"{self.module}.{ending}"
        return self._file(name).read(name, part)


class DequantizedFile:
    """One file as `inner` reads it; `modules` are the quantized ones whose marker it holds."""

    def __init__(
        self,
        inner: TensorFile,
        modules: Mapping[str, ModuleTensors],
        hidden: Collection[str],
        stored: StoredFormat,
    ) -> None:
        self.path = inner.path
        self._inner, self._modules, self._stored = inner, modules, stored
        self._names = [name for name in inner.names() if name not in hidden] + list(modules)

    def names(self) -> Collection[str]:
        return self._names

    def shape(self, name: str) -> tuple[int, ...]:
        module = self._modules.get(name)
        return self._inner.shape(name) if module is None else self._stored.shape(module)

    def dtype(self, name: str) -> str:
        return "float32" if name in self._modules else self._inner.dtype(name)

    def read(self, name: str, part: tuple[slice, ...]) -> torch.Tensor:
        module = self._modules.get(name)
        if module is None:
            return self._inner.read(name, part)
        given = (*part, slice(None), slice(None))
        outputs, inputs = (
            slice(*one.indices(size)) for one, size in zip(given, self._stored.shape(module), strict=False)
        )
        return self._stored.plain(module, outputs, inputs)


def dequantized(files: Sequence[TensorFile], weights: StoredWeights) -> list[TensorFile]:
    """All files of a checkpoint, its quantized weights plain."""
    stored = _format(weights)
    by_name = {name: file for file in files for name in file.names()}
    marker = f".{stored.marker}"
    modules = {name.removesuffix(marker) for name in by_name if name.endswith(marker)}
    hidden = {f"{module}.{ending}" for module in modules for ending in stored.endings}
    return [
        DequantizedFile(
            file,
            {
                f"{module}.weight": ModuleTensors(by_name, module)
                for module in (name.removesuffix(marker) for name in file.names() if name.endswith(marker))
            },
            hidden,
            stored,
        )
        for file in files
    ]


def _format(weights: StoredWeights) -> StoredFormat:
    if weights.method == "fp8":
        return Float8Format(weights)
    return GptqFormat(weights) if weights.method == "gptq" else AwqFormat(weights)
