"""Normalisation over the hidden dimension: root-mean-square, Gemma's form of it, and with mean and bias."""

from collections.abc import Iterator
from typing import Protocol

import torch
from torch import nn
from torch.nn import functional

from paddock.engine.layers.placement import Placement
from paddock.engine.weights.target import WeightTarget
from paddock.kernels import rms_norm


class Norm(Protocol):
    """Takes `[tokens, dim]`, replicated on every rank."""

    def __call__(self, x: torch.Tensor) -> torch.Tensor: ...

    def add(self, x: torch.Tensor, residual: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The normalised sum, and the sum itself: the next residual."""

    def weight_targets(self, prefix: str) -> Iterator[WeightTarget]: ...


class RMSNorm(nn.Module):
    """Scales `[tokens, dim]` to unit root mean square, and by a learned weight."""

    def __init__(self, dim: int, eps: float, place: Placement) -> None:
        super().__init__()
        self.weight = place.empty(dim)
        self.eps = eps

    def weight_targets(self, prefix: str) -> Iterator[WeightTarget]:
        yield WeightTarget(f"{prefix}.weight", tuple(self.weight.shape), self.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return rms_norm(x, self.weight, self.eps)

    def add(self, x: torch.Tensor, residual: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return rms_norm(x, self.weight, self.eps, residual)


class OffsetRMSNorm(RMSNorm):
    """Gemma's: scales by 1 + weight, all in float32, and rounds once at the end."""

    def pack(self) -> None:
        """Call once, after loading."""
        self.weight = self.weight.float() + 1.0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return rms_norm(x.float(), self.weight, self.eps).to(x.dtype)

    def add(self, x: torch.Tensor, residual: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        total = x + residual
        return self.forward(total), total


class LayerNorm(nn.Module):
    """Ba et al. 2016."""

    def __init__(self, dim: int, eps: float, place: Placement) -> None:
        super().__init__()
        self.weight = place.empty(dim)
        self.bias = place.empty(dim)
        self.eps = eps

    def weight_targets(self, prefix: str) -> Iterator[WeightTarget]:
        yield WeightTarget(f"{prefix}.weight", tuple(self.weight.shape), self.weight)
        yield WeightTarget(f"{prefix}.bias", tuple(self.bias.shape), self.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.layer_norm(x, self.weight.shape, self.weight, self.bias, self.eps)

    def add(self, x: torch.Tensor, residual: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        total = x + residual
        return self.forward(total), total
