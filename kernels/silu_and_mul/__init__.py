"""The gated activation of Llama-like feed-forward layers."""

import torch

from paddock.kernels import native
from paddock.kernels.silu_and_mul import cpu, reference


def silu_and_mul(x: torch.Tensor) -> torch.Tensor:
    """`silu(x[..., :d]) * x[..., d:]` for `x` `[..., 2 * d]`, returned as `[..., d]` in x's dtype."""
    if x.is_cuda:
        from paddock.kernels.silu_and_mul import triton_kernel

        return triton_kernel.silu_and_mul(x)
    return cpu.silu_and_mul(x) if native.handles(x) else reference.silu_and_mul(x)
