"""Linear layers whose weights are prepared once for the machine at hand."""

from typing import Protocol, runtime_checkable

import torch

from paddock.kernels import native
from paddock.kernels.linear.cpu import CpuLinear
from paddock.kernels.linear.quantized import PlainQuantizedLinear, QuantizedWeight
from paddock.kernels.linear.quantized_cpu import CpuQuantizedLinear
from paddock.kernels.linear.reference import PlainLinear


class PackedLinear(Protocol):
    """A linear layer that needs its plain weight no more."""

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """`[..., in_features]` to `[..., out_features]`, both in the weight's dtype."""

    def rows(self, indices: torch.Tensor) -> torch.Tensor:
        """Rows of the plain weight: int32 or int64 `[n]` to `[n, in_features]`. Raises `IndexError`."""


@runtime_checkable
class QuantizedLinear(PackedLinear, Protocol):
    """A linear layer whose weight is in codes."""

    @property
    def nbytes(self) -> int:
        """Of codes, scales and zeros."""
        ...


NativeLinear = CpuLinear | CpuQuantizedLinear
"""On the compiled kernels."""


def pack_linear(weight: torch.Tensor, bias: torch.Tensor | None = None) -> PackedLinear:
    """Prepare `weight` `[out_features, in_features]` and `bias` `[out_features]` for repeated use.

    On CPU, in float32 and bfloat16, the weight is copied, and each output has the same bits whatever the other
    rows of the batch are. Elsewhere the weight is shared, and PyTorch's matrix product decides.
    """
    if native.handles(weight):
        return CpuLinear(weight, bias)
    return PlainLinear(weight, bias)


def pack_quantized(
    weight: QuantizedWeight, bias: torch.Tensor | None = None, *, dtype: torch.dtype
) -> QuantizedLinear:
    """As `pack_linear`, for a weight in codes; `dtype` is the input's and the output's."""
    kind = CpuQuantizedLinear if multiplies_codes(weight.codes.device, dtype) else PlainQuantizedLinear
    return kind(weight, bias, dtype)


def multiplies_codes(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether a kernel reads the codes themselves; else plain numbers are made of them for each product."""
    return native.library is not None and device.type == "cpu" and dtype in native.ELEMENT
