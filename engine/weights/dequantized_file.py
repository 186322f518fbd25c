"""Files of a quantized checkpoint, read as if they held what the model asks for.

In place of the tensors that a quantized module is made of they show one float32 tensor, `weight` `[outputs, inputs]`; or,
where a layer keeps codes, `weight.codes`, `weight.scales` and `weight.zeros`. Only the part asked for is computed, so each
rank reads its own share. The tensors of a module may lie in several files.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Protocol

import torch

from paddock.engine.models.errors import CheckpointError
from paddock.engine.models.quantization import StoredWeights
from paddock.engine.weights.kept_codes import KeptCodes
from paddock.engine.weights.stored_formats import (
    AwqFormat,
    CodesFormat,
    CompressedFormat,
    Float8Format,
    GptqFormat,
)
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


class MadeTensor(Protocol):
    """A matrix that is computed from stored tensors."""

    dtype: str

    def shape(self) -> tuple[int, int]: ...

    def read(self, outputs: slice, columns: slice) -> torch.Tensor:
        """The slices have ends."""
        ...


class PlainWeight:
    dtype = "float32"

    def __init__(self, stored: StoredFormat, tensors: ModuleTensors) -> None:
        self._stored, self._tensors = stored, tensors

    def shape(self) -> tuple[int, int]:
        return self._stored.shape(self._tensors)

    def read(self, outputs: slice, columns: slice) -> torch.Tensor:
        return self._stored.plain(self._tensors, outputs, columns)


class SignedCodes:
    """Codes as the kernels take them: from -8 or -128 up, and their inputs in the layer's order."""

    dtype = "int8"

    def __init__(self, stored: CodesFormat, tensors: ModuleTensors, kept: KeptCodes) -> None:
        self._stored, self._tensors, self._order = stored, tensors, kept.order

    def shape(self) -> tuple[int, int]:
        return self._stored.shape(self._tensors)

    def read(self, outputs: slice, columns: slice) -> torch.Tensor:
        if self._order is None:
            codes = self._stored.codes(self._tensors, outputs, columns)
        else:
            whole = self._stored.codes(self._tensors, outputs, slice(0, len(self._order)))
            codes = whole.index_select(0, self._order[columns])
        # What leaves 8 bits wraps to the number that is meant.
        return (codes - (1 << (self._stored.bits - 1))).view(torch.int8).t()


class GroupScales:
    """`[outputs, inputs / group]`, where `group` inputs are a stored group or a part of one."""

    dtype = "float32"

    def __init__(self, stored: CodesFormat, tensors: ModuleTensors, kept: KeptCodes) -> None:
        self._stored, self._tensors = stored, tensors
        self._group, self._order = kept.group, kept.order

    def shape(self) -> tuple[int, int]:
        outs, ins = self._stored.shape(self._tensors)
        return outs, ins // self._group

    def read(self, outputs: slice, columns: slice) -> torch.Tensor:
        places = torch.arange(columns.start, columns.stop) * self._group
        groups = self._stored.groups(self._tensors, places if self._order is None else self._order[places])
        return self._of_stored_groups(outputs).index_select(0, groups).t()

    def _of_stored_groups(self, outputs: slice) -> torch.Tensor:
        return self._stored.scales(self._tensors, outputs)


class GroupZeros(GroupScales):
    """Of signed codes."""

    def _of_stored_groups(self, outputs: slice) -> torch.Tensor:
        zeros = self._stored.zeros(self._tensors, outputs)
        return (zeros - (1 << (self._stored.bits - 1))).float()


class DequantizedFile:
    """One file as `inner` reads it, but for tensors that are hidden, and those that are made of them."""

    def __init__(self, inner: TensorFile, made: Mapping[str, MadeTensor], hidden: Collection[str]) -> None:
        self.path = inner.path
        self._inner, self._made = inner, made
        self._names = [name for name in inner.names() if name not in hidden] + list(made)

    def names(self) -> Collection[str]:
        return self._names

    def shape(self, name: str) -> tuple[int, ...]:
        made = self._made.get(name)
        return self._inner.shape(name) if made is None else made.shape()

    def dtype(self, name: str) -> str:
        made = self._made.get(name)
        return self._inner.dtype(name) if made is None else made.dtype

    def read(self, name: str, part: tuple[slice, ...]) -> torch.Tensor:
        made = self._made.get(name)
        if made is None:
            return self._inner.read(name, part)
        given = (*part, slice(None), slice(None))
        outputs, columns = (slice(*one.indices(size)) for one, size in zip(given, made.shape(), strict=False))
        return made.read(outputs, columns)


def quantized_modules(names: Collection[str], weights: StoredWeights) -> set[str]:
    """Of a checkpoint whose tensors have these names."""
    marker = f".{_format(weights).marker}"
    return {name.removesuffix(marker) for name in names if name.endswith(marker)}


def stated_groups(
    files: Sequence[TensorFile], weights: StoredWeights, modules: Collection[str]
) -> dict[str, torch.Tensor]:
    """Of the quantized modules whose inputs state their groups, int64 `[inputs]`. Raises `CheckpointError`."""
    stored = _format(weights)
    if weights.group_index is None or not isinstance(stored, CodesFormat):
        return {}
    by_name = {name: file for file in files for name in file.names()}
    found = {module: stored.stated_groups(ModuleTensors(by_name, module)) for module in modules}
    return {module: groups for module, groups in found.items() if groups is not None}


def dequantized(
    files: Sequence[TensorFile], weights: StoredWeights, kept: Mapping[str, KeptCodes]
) -> list[TensorFile]:
    """All files of a checkpoint, its quantized weights plain, or in codes for the modules in `kept`."""
    stored = _format(weights)
    by_name = {name: file for file in files for name in file.names()}
    hidden = {
        f"{module}.{ending}" for module in quantized_modules(by_name, weights) for ending in stored.endings
    }
    return [
        DequantizedFile(
            file,
            {
                f"{module}.weight{part}": made
                for module in quantized_modules(file.names(), weights)
                for part, made in _made(stored, ModuleTensors(by_name, module), kept.get(module))
            },
            hidden,
        )
        for file in files
    ]


def _made(
    stored: StoredFormat, tensors: ModuleTensors, kept: KeptCodes | None
) -> Iterator[tuple[str, MadeTensor]]:
    if kept is None or not isinstance(stored, CodesFormat):
        yield "", PlainWeight(stored, tensors)
        return
    yield ".codes", SignedCodes(stored, tensors, kept)
    yield ".scales", GroupScales(stored, tensors, kept)
    yield ".zeros", GroupZeros(stored, tensors, kept)


def _format(weights: StoredWeights) -> StoredFormat:
    if weights.method == "fp8":
        return Float8Format(weights)
    formats: dict[str, Callable[[StoredWeights], CodesFormat]] = {
        "gptq": GptqFormat,
        "awq": AwqFormat,
        "compressed-tensors": CompressedFormat,
    }
    return formats[weights.method](weights)
