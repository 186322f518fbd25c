"""Definition of a linear layer."""

import torch


def linear(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """`x @ weight.T + bias`."""
    return torch.nn.functional.linear(x, weight, bias)
