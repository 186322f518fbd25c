"""Definition of a linear layer."""

import torch


class PlainLinear:
    """A linear layer as PyTorch's: `x @ weight.T + bias`."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        self.weight, self.bias = weight, bias

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.linear(x, self.weight, self.bias)

    def rows(self, indices: torch.Tensor) -> torch.Tensor:
        return self.weight.index_select(0, indices)
