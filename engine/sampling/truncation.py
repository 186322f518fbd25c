"""Which tokens may be drawn: top-k, top-p and min-p, and the draw itself.

The order is transformers': temperature (already applied), top-k, top-p over what top-k left, min-p.
"""

from dataclasses import dataclass

import torch

from paddock.engine.sampling.noise import gumbel

FIRST_WIDTH = 1024
"""Most candidates looked at for a row with top-p alone, before the whole vocabulary is sorted."""

PIECE = 1 << 16
"""Tokens whose noise is made at a time on a CPU: that many stay in its cache from one operation to the next."""


@dataclass(frozen=True)
class Draw:
    """Parameters of `n` rows, tensors `[n]` on the logits' device."""

    top_k: torch.Tensor
    """int64; 0 is all."""
    top_p: torch.Tensor
    min_p: torch.Tensor
    keys: torch.Tensor
    """int32 `[n, 2]`, see `noise_keys`."""
    width: int
    """The largest top-k where every row has one, else 0. On the host, like the next: a device is not waited for."""
    has_min_p: bool

    def select(self, index: torch.Tensor) -> "Draw":
        return Draw(
            self.top_k[index], self.top_p[index], self.min_p[index], self.keys[index], 0, self.has_min_p
        )


def draw_from_all(scores: torch.Tensor, draw: Draw) -> torch.Tensor:
    """One token id for each row of `scores` `[n, vocab]` (logits over temperature); min-p is the only limit."""
    if draw.has_min_p:
        floor = scores.amax(dim=-1, keepdim=True) + draw.min_p.log()[:, None]
        scores = scores.masked_fill(scores < floor, float("-inf"))
    count, vocab = scores.shape
    token_ids = torch.arange(vocab, dtype=torch.int32, device=scores.device)
    step = max(1, PIECE // vocab) if scores.device.type == "cpu" else count
    parts = [
        (scores[i : i + step] + gumbel(token_ids, draw.keys[i : i + step])).argmax(dim=-1)
        for i in range(0, count, step)
    ]
    return torch.cat(parts)


def draw_from_top(scores: torch.Tensor, draw: Draw, width: int = 0) -> torch.Tensor:
    """The same for rows with top-k or top-p, looking at the best tokens first and at all only where needed."""
    vocab = scores.shape[1]
    width = min(vocab, width or draw.width or max(64, min(FIRST_WIDTH, vocab // 16)))
    values, ids = scores.topk(width, dim=-1)
    rank = torch.arange(width, device=scores.device)
    limited = draw.top_k > 0
    values = values.masked_fill(limited[:, None] & (rank >= draw.top_k[:, None]), float("-inf"))
    # The mass is that of the kept k, or of the whole row where top-k is off.
    mass = values.logsumexp(dim=-1)
    if not draw.width:
        mass = torch.where(limited, mass, scores.logsumexp(dim=-1))
    probability = (values - mass[:, None]).exp()
    before = probability.cumsum(dim=-1) - probability
    dropped = (before >= draw.top_p[:, None]) | (probability < draw.min_p[:, None] * probability[:, :1])
    dropped[:, 0] = False
    noisy = values.masked_fill(dropped, float("-inf")) + gumbel(ids.to(torch.int32), draw.keys)
    tokens = ids.gather(1, noisy.argmax(dim=-1, keepdim=True)).squeeze(1)
    if draw.width or width == vocab:
        return tokens
    covered = torch.where(limited, draw.top_k <= width, before[:, -1] + probability[:, -1] >= draw.top_p)
    if not bool(covered.all()):
        again = (~covered).nonzero().squeeze(1)
        tokens[again] = draw_from_top(scores[again], draw.select(again), vocab)
    return tokens
