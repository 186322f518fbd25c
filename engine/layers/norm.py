"""Root-mean-square normalisation."""

from collections.abc import Iterator

import torch
from torch import nn

from paddock.engine.layers.placement import Placement
from paddock.engine.weights.target import WeightTarget
from paddock.kernels import rms_norm


class RMSNorm(nn.Module):
    """Scales `[tokens, dim]` to unit root mean square, and by a learned weight. Replicated on every rank."""

    def __init__(self, dim: int, eps: float, place: Placement) -> None:
        super().__init__()
        self.weight = place.empty(dim)
        self.eps = eps

    def weight_targets(self, prefix: str) -> Iterator[WeightTarget]:
        yield WeightTarget(f"{prefix}.weight", tuple(self.weight.shape), self.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return rms_norm(x, self.weight, self.eps)

    def add(self, x: torch.Tensor, residual: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The normalised sum, and the sum itself: the next residual."""
        return rms_norm(x, self.weight, self.eps, residual)
