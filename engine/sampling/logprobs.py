"""Log-probabilities of tokens under the model's own distribution: before penalties, temperature and truncation."""

from collections.abc import Sequence

import torch

from paddock.engine.messages import PositionLogprobs, TokenLogprob

LOWEST = torch.finfo(torch.float32).min
"""Stands for minus infinity, which JSON cannot carry."""


def position_logprobs(
    logits: torch.Tensor, token_ids: torch.Tensor, num_top: Sequence[int]
) -> list[PositionLogprobs]:
    """For each row of `logits` `[n, vocab]` the entry of `token_ids` `[n]`, then the `num_top` best (-1: all)."""
    vocab = logits.shape[1]
    wanted = [vocab if count < 0 else min(count, vocab) for count in num_top]
    logprobs = logits.log_softmax(dim=-1).nan_to_num_(nan=LOWEST, neginf=LOWEST)
    chosen = logprobs.gather(1, token_ids[:, None])
    ranks = ((logprobs > chosen).sum(dim=-1) + 1).tolist()
    values, ids = logprobs.topk(max(wanted, default=0), dim=-1)
    positions: list[PositionLogprobs] = []
    rows = zip(
        token_ids.tolist(),
        chosen.squeeze(1).tolist(),
        ranks,
        ids.tolist(),
        values.tolist(),
        wanted,
        strict=True,
    )
    for token_id, logprob, rank, top_ids, top_values, count in rows:
        top = [
            TokenLogprob(i, v, r)
            for r, (i, v) in enumerate(zip(top_ids[:count], top_values[:count], strict=True), 1)
        ]
        positions.append([TokenLogprob(token_id, logprob, rank), *top])
    return positions
