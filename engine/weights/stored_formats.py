"""How quantized checkpoints keep a weight: blocks of 8-bit floats (DeepSeek-V3), and packed codes.

GPTQ (Frantar et al. 2023) packs codes of neighbouring inputs into one 32-bit word, AWQ (Lin et al. 2024) those of
neighbouring outputs, in an order that its GPU kernel liked; the zeros of both lie as AWQ's codes do, GPTQ's in order.
compressed-tensors' codes lie as GPTQ's do, and its matrices are turned.
"""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import torch

from paddock.engine.models.errors import CheckpointError
from paddock.engine.models.quantization import StoredWeights
from paddock.engine.weights.tensor_file import FETCH_AGAIN

if TYPE_CHECKING:
    from paddock.engine.weights.dequantized_file import ModuleTensors

WORD = 32
"""Bits of a packed integer."""

AWQ_PLACES = (0, 4, 1, 5, 2, 6, 3, 7)
"""The nibble that holds each of eight neighbouring outputs."""


class Float8Format:
    """`weight` in float8_e4m3fn, and `weight_scale_inv`: what each block of it is multiplied by."""

    marker = "weight_scale_inv"
    endings = ("weight", "weight_scale_inv")

    def __init__(self, weights: StoredWeights) -> None:
        self._block = (weights.outputs, weights.group)

    def shape(self, tensors: "ModuleTensors") -> tuple[int, int]:
        outs, ins = tensors.shape("weight")
        blocks = tensors.shape(self.marker)
        expected = (-(-outs // self._block[0]), -(-ins // self._block[1]))
        if blocks != expected:
            raise CheckpointError(
                f"tensor {tensors.module}.{self.marker} has shape {list(blocks)}, and weight_block_size "
                f"{list(self._block)} of config.json asks for {list(expected)}; they are of different checkpoints."
            )
        return outs, ins

    def plain(self, tensors: "ModuleTensors", outputs: slice, inputs: slice) -> torch.Tensor:
        scales = tensors.read(self.marker, *(slice(None),) * 2).float()
        for dim, part, size in ((0, outputs, self._block[0]), (1, inputs, self._block[1])):
            scales = scales.index_select(dim, torch.arange(part.start, part.stop) // size)
        return scales.mul_(tensors.read("weight", outputs, inputs).float())


class CodesFormat(ABC):
    """Words of n codes: `qzeros` `[groups, outputs / n]`. `scales` are `[groups, outputs]`.

    A weight is (code - zero) * scale. Slices of outputs and inputs have ends.
    """

    marker = "qweight"
    endings: tuple[str, ...] = ("qweight", "qzeros", "scales")
    places: tuple[int, ...] | None = None
    """The place in a word of each of n neighbours; None for the lowest bits first."""

    def __init__(self, weights: StoredWeights) -> None:
        self.bits, self._weights = weights.bits, weights
        self._count = WORD // weights.bits

    @abstractmethod
    def shape(self, tensors: "ModuleTensors") -> tuple[int, int]:
        """Outputs and inputs."""

    @abstractmethod
    def codes(self, tensors: "ModuleTensors", outputs: slice, inputs: slice) -> torch.Tensor:
        """uint8 `[inputs, outputs]`."""

    def scales(self, tensors: "ModuleTensors", outputs: slice) -> torch.Tensor:
        """Float32 `[groups, outputs]`."""
        return tensors.read("scales", slice(None), outputs).float()

    def zeros(self, tensors: "ModuleTensors", outputs: slice) -> torch.Tensor:
        """int32 `[groups, outputs]`."""
        words = tensors.read("qzeros", slice(None), self._words(outputs))
        return self._columns(words, outputs).int() + self._weights.zero_offset

    def groups(self, tensors: "ModuleTensors", inputs: torch.Tensor) -> torch.Tensor:
        """int64: the group of each of these inputs. Raises `CheckpointError` where scales and zeros have none for it."""
        stated = self.stated_groups(tensors)
        if stated is not None:
            groups = stated.index_select(0, inputs)
        else:
            groups = torch.zeros_like(inputs) if self._weights.group == -1 else inputs // self._weights.group
        scales, zeros = self._grids(tensors)
        if int(groups.max()) >= scales[0] or zeros != scales:
            raise CheckpointError(
                f"{tensors.module}: scales {list(scales)} and zeros {list(zeros)} do not fit groups of "
                f"{self._weights.group} inputs (group_size in config.json); they are of different checkpoints."
            )
        return groups

    def stated_groups(self, tensors: "ModuleTensors") -> torch.Tensor | None:
        """int64 `[inputs]`: the group of each where that is stored. Raises `CheckpointError`."""
        ending = self._weights.group_index
        if ending is None:
            return None
        inputs = self.shape(tensors)[1]
        if tensors.shape(ending, dimensions=1) != (inputs,):
            raise CheckpointError(
                f"tensor {tensors.module}.{ending} has shape {list(tensors.shape(ending, dimensions=1))}, and the module "
                f"has {inputs} inputs; {FETCH_AGAIN}."
            )
        groups = tensors.read(ending).long()
        if int(groups.min()) < 0:
            raise CheckpointError(
                f"tensor {tensors.module}.{ending} holds {int(groups.min())}; expected numbers of groups, from 0; "
                f"{FETCH_AGAIN}."
            )
        return groups

    def plain(self, tensors: "ModuleTensors", outputs: slice, inputs: slice) -> torch.Tensor:
        groups = self.groups(tensors, torch.arange(inputs.start, inputs.stop))
        zeros, scales = self.zeros(tensors, outputs), self.scales(tensors, outputs)
        codes = self.codes(tensors, outputs, inputs).int()
        return ((codes - zeros.index_select(0, groups)) * scales.index_select(0, groups)).t()

    def _grids(self, tensors: "ModuleTensors") -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The shapes of scales and zeros, (groups, outputs) both."""
        groups, words = tensors.shape("qzeros")
        return tensors.shape("scales"), (groups, words * self._count)

    def _words(self, part: slice) -> slice:
        return slice(part.start // self._count, -(-part.stop // self._count))

    def _columns(self, words: torch.Tensor, part: slice) -> torch.Tensor:
        """int32 `[a, words]` as uint8 `[a, outputs]`, those of `part` alone."""
        codes = unpacked(words, self.bits)
        skip = part.start % self._count
        codes = codes if self.places is None else codes[..., self.places]
        return codes.flatten(1)[:, skip : skip + part.stop - part.start]


class GptqFormat(CodesFormat):
    """`qweight` is int32 `[inputs / n, outputs]`."""

    endings = (*CodesFormat.endings, "g_idx")

    def shape(self, tensors: "ModuleTensors") -> tuple[int, int]:
        words, outs = tensors.shape("qweight")
        return outs, words * self._count

    def codes(self, tensors: "ModuleTensors", outputs: slice, inputs: slice) -> torch.Tensor:
        words = tensors.read("qweight", self._words(inputs), outputs)
        skip = inputs.start % self._count
        codes = unpacked(words, self.bits).transpose(1, 2).flatten(0, 1)
        return codes[skip : skip + inputs.stop - inputs.start]


class AwqFormat(CodesFormat):
    """`qweight` is int32 `[inputs, outputs / n]`."""

    places = AWQ_PLACES

    def shape(self, tensors: "ModuleTensors") -> tuple[int, int]:
        ins, words = tensors.shape("qweight")
        return words * self._count, ins

    def codes(self, tensors: "ModuleTensors", outputs: slice, inputs: slice) -> torch.Tensor:
        return self._columns(tensors.read("qweight", inputs, self._words(outputs)), outputs)


class CompressedFormat(CodesFormat):
    """compressed-tensors' pack-quantized: `weight_packed` int32 `[outputs, inputs / n]`, `weight_scale` `[outputs, groups]`.

    Asymmetric ones have `weight_zero_point` int32 `[outputs / n, groups]`. All codes are stored with the sign bit turned.
    """

    marker = "weight_packed"
    endings = ("weight_packed", "weight_scale", "weight_shape", "weight_zero_point", "weight_g_idx")

    def shape(self, tensors: "ModuleTensors") -> tuple[int, int]:
        outs, words = tensors.shape("weight_packed")
        return outs, words * self._count

    def codes(self, tensors: "ModuleTensors", outputs: slice, inputs: slice) -> torch.Tensor:
        return self._columns(tensors.read("weight_packed", outputs, self._words(inputs)), inputs).t()

    def scales(self, tensors: "ModuleTensors", outputs: slice) -> torch.Tensor:
        return tensors.read("weight_scale", outputs, slice(None)).float().t()

    def zeros(self, tensors: "ModuleTensors", outputs: slice) -> torch.Tensor:
        if self._weights.symmetric:
            groups = tensors.shape("weight_scale")[1]
            return torch.full((groups, outputs.stop - outputs.start), 1 << (self.bits - 1), dtype=torch.int32)
        words = tensors.read("weight_zero_point", self._words(outputs), slice(None))
        return self._columns(words.t(), outputs).int()

    def _grids(self, tensors: "ModuleTensors") -> tuple[tuple[int, ...], tuple[int, ...]]:
        outs, groups = tensors.shape("weight_scale")
        if self._weights.symmetric:
            return (groups, outs), (groups, outs)
        words, zero_groups = tensors.shape("weight_zero_point")
        return (groups, outs), (
            zero_groups,
            outs if words == -(-outs // self._count) else words * self._count,
        )


def unpacked(words: torch.Tensor, bits: int) -> torch.Tensor:
    """int32 `[a, b]` to codes, uint8 `[a, b, 32 / bits]`, the lowest bits first. Memory: a byte for each code."""
    # A copy: what has a dimension of one counts as contiguous with any stride, and then has no view of bytes.
    octets = words.clone(memory_format=torch.contiguous_format).view(torch.uint8)
    codes = octets if bits == 8 else torch.stack((octets & 15, octets >> 4), dim=-1)
    return codes.view(*words.shape, WORD // bits)
