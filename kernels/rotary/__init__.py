"""Rotary position embedding of queries and keys."""

import torch

from paddock.kernels.rotary import reference


def rotary(query: torch.Tensor, key: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> None:
    """Rotate `query` `[tokens, num_heads, head_dim]` and `key` `[tokens, num_kv_heads, head_dim]` in place.

    `cos`, `sin` are `[tokens, rotary_dim / 2]` (float32 keeps the most precision), one row for each token's
    position. Elements from `rotary_dim` on are left alone.
    """
    reference.rotary(query, key, cos, sin)
