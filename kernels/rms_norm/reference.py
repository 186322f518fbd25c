"""Definition of RMSNorm (Zhang and Sennrich 2019), with the rounding of the Llama and Qwen checkpoints' authors."""

import torch


def rms_norm(
    x: torch.Tensor, weight: torch.Tensor, eps: float, residual: torch.Tensor | None = None
) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
    """See `paddock.kernels.rms_norm`."""
    if residual is None:
        return normalize(x, weight, eps)
    total = x + residual
    return normalize(total, weight, eps), total


def normalize(x: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
    """`x / sqrt(mean(x^2) + eps) * weight`; the mean in float32, rounded to x's dtype before the weight."""
    wide = x.float()
    scaled = wide * torch.rsqrt(wide.square().mean(dim=-1, keepdim=True) + eps)
    return scaled.to(x.dtype) * weight
