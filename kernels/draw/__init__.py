"""Draw one token for each row of scores under top-k, top-p and min-p."""

import torch

from paddock.kernels.draw import reference
from paddock.kernels.draw.gumbel import gumbel

__all__ = ["draw", "gumbel"]


def draw(
    scores: torch.Tensor, top_k: torch.Tensor, top_p: torch.Tensor, min_p: torch.Tensor, keys: torch.Tensor
) -> torch.Tensor:
    """Token ids, int64 `[n]`, of `scores` float32 `[n, vocab]` (logits over temperature), by the Gumbel-max trick.

    The order is transformers': top-k (int64 `[n]`, 0 is all), top-p over what top-k left, min-p (both float32 `[n]`).
    `keys`, int32 `[n, 2]`, are those of the rows' noise. Of equal scores at the border of top-k a GPU keeps all, the
    definition the first of its sorting.
    """
    if scores.is_cuda:
        from paddock.kernels.draw import triton_kernel

        return triton_kernel.draw(scores, top_k, top_p, min_p, keys)
    return reference.draw(scores, top_k, top_p, min_p, keys)
