"""Which tokens may be drawn: top-k, top-p and min-p, and the draw itself.

The order is transformers': temperature (already applied), top-k, top-p over what top-k left, min-p.
"""

from dataclasses import dataclass, replace

import torch

from paddock.kernels.draw import draw as draw_on_device
from paddock.kernels.draw import gumbel
from paddock.kernels.draw.reference import truncated as kept_scores

FIRST_WIDTH = 1024
"""Most candidates looked at for a row with top-p alone, before the whole vocabulary is."""

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
    if scores.is_cuda:
        return _draw_on_gpu(scores, draw)
    count, step = len(scores), _rows_at_a_time(scores)
    parts = [
        _noisy(
            scores[i : i + step], draw.min_p[i : i + step], draw.keys[i : i + step], draw.has_min_p
        ).argmax(dim=-1)
        for i in range(0, count, step)
    ]
    return torch.cat(parts)


def _draw_on_gpu(scores: torch.Tensor, draw: Draw) -> torch.Tensor:
    return draw_on_device(scores, draw.top_k, draw.top_p, draw.min_p, draw.keys)


def _rows_at_a_time(scores: torch.Tensor) -> int:
    return max(1, PIECE // scores.shape[1]) if scores.device.type == "cpu" else len(scores)


def _noisy(scores: torch.Tensor, min_p: torch.Tensor, keys: torch.Tensor, has_min_p: bool) -> torch.Tensor:
    """Scores with noise on them, those under min-p left out: the largest is the draw."""
    token_ids = torch.arange(scores.shape[1], dtype=torch.int32, device=scores.device)
    noisy = gumbel(token_ids, keys).add_(scores)
    if has_min_p:
        floor = scores.amax(dim=-1, keepdim=True) + min_p.log()[:, None]
        noisy.masked_fill_(scores < floor, float("-inf"))
    return noisy


def draw_from_top(scores: torch.Tensor, draw: Draw) -> torch.Tensor:
    """The same for rows with top-k or top-p, looking at the best tokens first and at all only where needed."""
    if scores.is_cuda:
        return _draw_on_gpu(scores, draw)
    vocab = scores.shape[1]
    width = min(vocab, draw.width or max(64, min(FIRST_WIDTH, vocab // 16)))
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
        for again, draw_again in (
            (~covered & limited, _draw_by_rank),
            (~covered & ~limited, draw_from_nucleus),
        ):
            rows = again.nonzero().squeeze(1)
            if rows.numel():
                tokens[rows] = draw_again(scores[rows], draw.select(rows))
    return tokens


def truncated(scores: torch.Tensor, draw: Draw) -> torch.Tensor:
    """`scores` `[n, vocab]` with -inf where a token cannot be drawn, for reports."""
    return kept_scores(scores, draw.top_k, draw.top_p, draw.min_p)


def _draw_by_rank(scores: torch.Tensor, draw: Draw) -> torch.Tensor:
    return draw_from_top(scores, replace(draw, width=int(draw.top_k.max())))


def draw_from_nucleus(scores: torch.Tensor, draw: Draw) -> torch.Tensor:
    """Top-p without sorting: the noisy scores' best token that lies in the nucleus, which is what sorting would draw.

    A token lies in it when the likelier ones have less than `top_p` together. Most draws are taken at once, since the
    nucleus holds most of the mass; a token outside is struck out and the next best asked.
    """
    noisy = _noisy(scores, draw.min_p, draw.keys, draw.has_min_p)
    probability, top_p = scores.softmax(dim=-1), draw.top_p
    tokens = torch.empty(len(scores), dtype=torch.int64, device=scores.device)
    rows = torch.arange(len(scores), device=scores.device)
    while rows.numel():
        best = noisy.argmax(dim=-1, keepdim=True)
        likelier = torch.where(probability > probability.gather(1, best), probability, 0.0).sum(dim=-1)
        inside = (likelier < top_p) | (likelier == 0)
        tokens[rows[inside]] = best[inside].squeeze(1)
        noisy = noisy.scatter_(1, best, float("-inf"))[~inside]
        probability, top_p, rows = probability[~inside], top_p[~inside], rows[~inside]
    return tokens
