"""MXFP4: 32 four-bit floats share a scale of eight bits (OCP Microscaling Formats 1.0)."""

import torch

GROUP = 32
"""Values that share a scale; they take 16 bytes, the first value of each pair in the low bits."""

EXPONENT_BIAS = 127

VALUES = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, -0.0, -0.5, -1.0, -1.5, -2.0, -3.0, -4.0, -6.0)
"""E2M1, by code."""


def dequantize(blocks: torch.Tensor, scales: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """uint8 `[rows, groups, 16]` and `[rows, groups]` to `[rows, groups * 32]`; exact in bfloat16 and float32."""
    table = torch.tensor(VALUES, dtype=dtype, device=blocks.device)
    pairs = torch.stack((blocks & 0x0F, blocks >> 4), dim=-1).flatten(-2)
    exponents = scales.to(torch.int32) - EXPONENT_BIAS
    return torch.ldexp(table[pairs.int()], exponents[..., None]).to(dtype).flatten(1)
