"""How quantized checkpoints keep a weight: blocks of 8-bit floats (DeepSeek-V3), GPTQ's and AWQ's packed codes.

GPTQ (Frantar et al. 2023) packs codes of neighbouring inputs into one 32-bit word, AWQ (Lin et al. 2024) those of
neighbouring outputs, in an order that its GPU kernel liked; the zeros of both lie as AWQ's codes do, GPTQ's in order.
"""

from typing import TYPE_CHECKING

import torch

from paddock.engine.models.errors import CheckpointError
from paddock.engine.models.quantization import StoredWeights

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


class GptqFormat:
    """Words of n codes: `qweight` int32 `[inputs / n, outputs]`, `qzeros` `[groups, outputs / n]`.

    `scales` are `[groups, outputs]`.
    """

    marker = "qweight"
    endings = ("qweight", "qzeros", "scales", "g_idx")

    def __init__(self, weights: StoredWeights) -> None:
        self._weights = weights
        self._codes = WORD // weights.bits

    def shape(self, tensors: "ModuleTensors") -> tuple[int, int]:
        words, outs = tensors.shape("qweight")
        return outs, words * self._codes

    def plain(self, tensors: "ModuleTensors", outputs: slice, inputs: slice) -> torch.Tensor:
        words = tensors.read("qweight", _words(inputs, self._codes), outputs)
        codes = _unpacked(words, self._weights.bits).transpose(1, 2).flatten(0, 1)
        skip = inputs.start % self._codes
        return _scaled(
            tensors, codes[skip : skip + inputs.stop - inputs.start], outputs, inputs, self._weights
        )


class AwqFormat:
    """As GPTQ's, but `qweight` is `[inputs, outputs / 8]`, and words hold outputs out of order."""

    marker = "qweight"
    endings = ("qweight", "qzeros", "scales")

    def __init__(self, weights: StoredWeights) -> None:
        self._weights = weights
        self._codes = WORD // weights.bits

    def shape(self, tensors: "ModuleTensors") -> tuple[int, int]:
        ins, words = tensors.shape("qweight")
        return words * self._codes, ins

    def plain(self, tensors: "ModuleTensors", outputs: slice, inputs: slice) -> torch.Tensor:
        words = tensors.read("qweight", inputs, _words(outputs, self._codes))
        codes = _columns(_unpacked(words, self._weights.bits)[..., AWQ_PLACES], outputs)
        return _scaled(tensors, codes, outputs, inputs, self._weights, AWQ_PLACES)


def _scaled(
    tensors: "ModuleTensors",
    codes: torch.Tensor,
    outputs: slice,
    inputs: slice,
    weights: StoredWeights,
    places: tuple[int, ...] | None = None,
) -> torch.Tensor:
    """(code - zero) * scale of `codes` `[inputs, outputs]`, turned to `[outputs, inputs]`."""
    count = WORD // weights.bits
    zeros = _unpacked(tensors.read("qzeros", slice(None), _words(outputs, count)), weights.bits)
    zeros = _columns(zeros if places is None else zeros[..., places], outputs) + weights.zero_offset
    scales = tensors.read("scales", slice(None), outputs).float()
    groups = torch.zeros(len(codes), dtype=torch.int64)
    if weights.group != -1:
        groups = torch.arange(inputs.start, inputs.stop) // weights.group
    if int(groups.max()) >= len(scales) or zeros.shape != scales.shape:
        raise CheckpointError(
            f"{tensors.module}: scales {list(scales.shape)} and zeros {list(zeros.shape)} do not fit groups of "
            f"{weights.group} inputs (group_size in config.json); they are of different checkpoints."
        )
    plain = (codes - zeros.index_select(0, groups)) * scales.index_select(0, groups)
    return plain.t()


def _words(part: slice, codes: int) -> slice:
    return slice(part.start // codes, -(-part.stop // codes))


def _unpacked(words: torch.Tensor, bits: int) -> torch.Tensor:
    """int32 `[a, b]` to codes `[a, b, n]`, the lowest bits first."""
    shifts = torch.arange(0, WORD, bits, dtype=torch.int32)
    return (words[..., None] >> shifts) & ((1 << bits) - 1)


def _columns(codes: torch.Tensor, part: slice) -> torch.Tensor:
    """`[a, words, n]` as `[a, outputs]`, those of `part` alone."""
    skip = part.start % codes.shape[2]
    return codes.flatten(1)[:, skip : skip + part.stop - part.start]
