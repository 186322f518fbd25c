"""Experts on NVIDIA GPUs. Triton is loaded with them."""

import torch

from paddock.kernels.moe.reference import PlainExperts
from paddock.kernels.moe.sorted_tokens import SortedTokens
from paddock.kernels.moe.triton_kernel import grouped_linear


class GpuExperts(PlainExperts):
    """All products in one kernel."""

    def __call__(self, x: torch.Tensor, tokens: SortedTokens, *, sorted_x: bool = False) -> torch.Tensor:
        return grouped_linear(x, tokens, self.weight, self.bias, sorted_x=sorted_x)
