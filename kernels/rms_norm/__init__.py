"""RMSNorm, alone or together with the residual addition before it."""

from typing import overload

import torch

from paddock.kernels import native
from paddock.kernels.rms_norm import cpu, reference


@overload
def rms_norm(x: torch.Tensor, weight: torch.Tensor, eps: float, residual: None = None) -> torch.Tensor: ...


@overload
def rms_norm(
    x: torch.Tensor, weight: torch.Tensor, eps: float, residual: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]: ...


def rms_norm(
    x: torch.Tensor, weight: torch.Tensor, eps: float, residual: torch.Tensor | None = None
) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
    """Normalise `x` `[..., dim]` by its root mean square and scale it by `weight` `[dim]`.

    With `residual` (same shape), the sum `x + residual` is normalised, and `(normalised, sum)` comes back.
    Nothing is changed in place. The mean is taken in float32.
    """
    if x.is_cuda and weight.dtype == x.dtype:
        from paddock.kernels.rms_norm import triton_kernel

        return triton_kernel.rms_norm(x, weight, eps, residual)
    run = cpu.rms_norm if native.handles(x) else reference.rms_norm
    return run(x, weight, eps, residual)
