"""Definition of the draw: sort the vocabulary, leave out what may not be drawn, add noise, take the best."""

import torch

from paddock.kernels.draw.gumbel import gumbel


def draw(
    scores: torch.Tensor, top_k: torch.Tensor, top_p: torch.Tensor, min_p: torch.Tensor, keys: torch.Tensor
) -> torch.Tensor:
    """See `paddock.kernels.draw`."""
    token_ids = torch.arange(scores.shape[1], dtype=torch.int32, device=scores.device)
    return (truncated(scores, top_k, top_p, min_p) + gumbel(token_ids, keys)).argmax(dim=-1)


def truncated(
    scores: torch.Tensor, top_k: torch.Tensor, top_p: torch.Tensor, min_p: torch.Tensor
) -> torch.Tensor:
    """`scores` `[n, vocab]` with -inf where a token cannot be drawn; the best one always can."""
    values, ids = scores.sort(dim=-1, descending=True)
    rank = torch.arange(values.shape[1], device=scores.device)
    limited = top_k > 0
    values = values.masked_fill(limited[:, None] & (rank >= top_k[:, None]), float("-inf"))
    probability = values.softmax(dim=-1)
    before = probability.cumsum(dim=-1) - probability
    outside = (before >= top_p[:, None]) & (top_p < 1)[:, None]
    dropped = outside | (probability < min_p[:, None] * probability[:, :1])
    dropped[:, 0] = False
    return torch.empty_like(scores).scatter_(1, ids, values.masked_fill(dropped, float("-inf")))
