"""Activations of feed-forward layers, by the names of `hidden_act`."""

from collections.abc import Callable

import torch
from torch.nn import functional

from paddock.kernels import silu_and_mul

Activation = Callable[[torch.Tensor], torch.Tensor]


def gelu_tanh(x: torch.Tensor) -> torch.Tensor:
    """Hendrycks and Gimpel's approximation (2016)."""
    return functional.gelu(x, approximate="tanh")


PLAIN: dict[str, Activation] = {
    "gelu": functional.gelu,
    "gelu_new": gelu_tanh,
    "gelu_pytorch_tanh": gelu_tanh,
    "relu": functional.relu,
    "silu": functional.silu,
}


def gated(name: str) -> Activation:
    """`act(x[..., :d]) * x[..., d:]` for `x` `[..., 2 * d]`."""
    if name == "silu":
        return silu_and_mul
    act = PLAIN[name]

    def run(x: torch.Tensor) -> torch.Tensor:
        gate, up = x.chunk(2, dim=-1)
        return act(gate) * up

    return run
