"""Weights in codes of 4 or 8 bits: the definition, and rounding to nearest."""

from dataclasses import dataclass

import torch

ROWS_AT_ONCE = 8192
"""Of a weight that is being rounded, or packed: a vocabulary's float32 copy would take gigabytes. A multiple of 32."""


@dataclass(frozen=True)
class QuantizedWeight:
    """`weight[o, k] = (codes[o, k] - zeros[o, k // group]) * scales[o, k // group]`."""

    codes: torch.Tensor
    """int8 `[out_features, in_features]`: -8 to 7 with 4 bits."""
    scales: torch.Tensor
    """float32 `[out_features, groups]`."""
    zeros: torch.Tensor | None
    """As `scales`; None is zero everywhere."""
    bits: int
    group: int
    """Neighbouring inputs that share a scale; divides in_features, and is a multiple of 4."""

    def __post_init__(self) -> None:
        outs, ins = self.codes.shape
        assert self.bits in (4, 8)
        assert self.group % 4 == 0
        assert self.scales.shape == (outs, ins // self.group)
        assert ins % self.group == 0
        assert self.zeros is None or self.zeros.shape == self.scales.shape

    @property
    def nbytes(self) -> int:
        return sum(part.nbytes for part in (self.codes, self.scales, self.zeros) if part is not None)


def dequantize(weight: QuantizedWeight, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """`[out_features, in_features]`: computed in float32, then rounded to `dtype`."""
    codes = weight.codes.float().view(len(weight.codes), -1, weight.group)
    if weight.zeros is not None:
        codes = codes - weight.zeros[..., None]
    return (codes * weight.scales[..., None]).flatten(1).to(dtype)


def round_to_nearest(weight: torch.Tensor, bits: int, group: int) -> QuantizedWeight:
    """`weight` `[out_features, in_features]` in codes: of each group, the least scale that holds its extremes."""
    outs, ins = weight.shape
    codes = torch.empty(outs, ins, dtype=torch.int8, device=weight.device)
    scales = torch.empty(outs, ins // group, device=weight.device)
    lowest, highest = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    for first in range(0, outs, ROWS_AT_ONCE):
        rows = slice(first, first + ROWS_AT_ONCE)
        groups = weight[rows].float().reshape(-1, ins // group, group)
        least, most = groups.aminmax(dim=-1)
        scale = torch.maximum(least / lowest, most / highest)
        scales[rows] = scale
        # A group of zeros has no scale to divide by.
        divisor = scale.masked_fill(scale == 0, 1.0)[..., None]
        codes[rows] = (groups / divisor).round_().clamp_(lowest, highest).flatten(1).to(torch.int8)
    return QuantizedWeight(codes, scales, None, bits, group)


class PlainQuantizedLinear:
    """Plain numbers are made anew for each product: little memory, and slow."""

    def __init__(self, weight: QuantizedWeight, bias: torch.Tensor | None, dtype: torch.dtype) -> None:
        self._weight, self._bias, self._dtype = weight, bias, dtype

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.linear(x, dequantize(self._weight, self._dtype), self._bias)

    @property
    def nbytes(self) -> int:
        return self._weight.nbytes

    def rows(self, indices: torch.Tensor) -> torch.Tensor:
        weight = self._weight
        zeros = None if weight.zeros is None else weight.zeros[indices]
        chosen = QuantizedWeight(
            weight.codes[indices], weight.scales[indices], zeros, weight.bits, weight.group
        )
        return dequantize(chosen, self._dtype)
