"""What is reported of tokens and their likeliest rivals: log-probabilities, or the logits themselves."""

from collections.abc import Sequence

import torch

from paddock.engine.messages import PositionLogprobs, TokenLogprob

LOWEST = torch.finfo(torch.float32).min
"""Stands for minus infinity, which JSON cannot carry."""


def position_logprobs(
    logits: torch.Tensor, token_ids: torch.Tensor, num_top: Sequence[int], as_logits: bool = False
) -> list[PositionLogprobs]:
    """For each row of `logits` `[n, vocab]` the entry of `token_ids` `[n]`, then the `num_top` best (-1: all).

    Values are the logarithms of their softmax, or with `as_logits` what they are.
    """
    vocab = logits.shape[1]
    wanted = [vocab if count < 0 else min(count, vocab) for count in num_top]
    logprobs = logits if as_logits else logits.log_softmax(dim=-1)
    logprobs = logprobs.nan_to_num(nan=LOWEST, neginf=LOWEST)
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
