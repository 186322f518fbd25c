"""Linear layers whose weights are prepared once for the machine at hand."""

from collections.abc import Callable
from functools import partial

import torch

from paddock.kernels import native
from paddock.kernels.linear import reference
from paddock.kernels.linear.cpu import CpuLinear

PackedLinear = Callable[[torch.Tensor], torch.Tensor]
"""Takes `x` `[..., in_features]`, returns `[..., out_features]`, both in the weight's dtype."""


def pack_linear(weight: torch.Tensor, bias: torch.Tensor | None = None) -> PackedLinear:
    """Prepare `weight` `[out_features, in_features]` and `bias` `[out_features]` for repeated use.

    A contiguous weight is shared, not copied. On CPU, in float32 and bfloat16, each output has the same bits
    whatever the other rows of the batch are; elsewhere PyTorch's matrix product decides.
    """
    if native.handles(weight):
        return CpuLinear(weight, bias)
    return partial(reference.linear, weight=weight, bias=bias)
