"""Definition of the gate of SwiGLU (Shazeer 2020)."""

import torch


def silu_and_mul(x: torch.Tensor) -> torch.Tensor:
    """See `paddock.kernels.silu_and_mul`."""
    gate, up = x.chunk(2, dim=-1)
    return torch.nn.functional.silu(gate) * up
