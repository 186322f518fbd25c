"""The draw on NVIDIA GPUs: one program takes one row, finds the least score that may be drawn, and never sorts.

The limit of top-k is the largest one that `k` scores reach, that of top-p the least one above which less than `p` of
the mass lies: each is found by halving the range of float32 bit patterns, in which scores keep their order.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, misc, untyped-decorator"
# Triton reads annotations as its own types, so a kernel's arguments are described in comments.

import torch
import triton
import triton.language as tl

PIECE = 4096
"""Scores looked at together."""


@triton.jit
def _ordered(scores):
    """Whole numbers in the order of the floats whose bits they are."""
    bits = scores.to(tl.int32, bitcast=True)
    return (bits ^ ((bits >> 31) & 0x7FFFFFFF)).to(tl.int64)


@triton.jit
def _noise(token, first, second):
    """`gumbel` of `paddock.kernels.draw`, from the same whole numbers."""
    x = token.to(tl.uint32) * 0x9E3779B1 + first.to(tl.uint32)
    x = (x ^ (x >> 16)) * 0x21F0AAAD + second.to(tl.uint32)
    x = (x ^ (x >> 15)) * 0x735A2D97
    x = (x ^ (x >> 15)) & 0x7FFFFFFF
    uniform = x.to(tl.int32).to(tl.float32) * 2.0**-31 + 2.0**-32
    # log(1 - u) without losing small u (Kahan): the rounding of 1 - u is divided out again.
    rest = 1.0 - uniform
    lost = rest == 1.0
    exponential = tl.where(lost, uniform, -tl.log(rest) * (uniform / tl.where(lost, 1.0, 1.0 - rest)))
    return -tl.log(exponential)


@triton.jit
def _count_from(row, vocab, limit, PIECE: tl.constexpr):
    total = tl.zeros((PIECE,), dtype=tl.int64)
    for start in range(0, vocab, PIECE):
        token = start + tl.arange(0, PIECE)
        scores = tl.load(row + token, mask=token < vocab, other=float("-inf"))
        total += ((token < vocab) & (_ordered(scores) >= limit)).to(tl.int64)
    return tl.sum(total)


@triton.jit
def _mass_from(row, vocab, limit, peak, PIECE: tl.constexpr):
    total = tl.zeros((PIECE,), dtype=tl.float32)
    for start in range(0, vocab, PIECE):
        token = start + tl.arange(0, PIECE)
        scores = tl.load(row + token, mask=token < vocab, other=float("-inf"))
        total += tl.where(_ordered(scores) >= limit, tl.exp(scores - peak), 0.0)
    return tl.sum(total)


@triton.jit
def _draw_kernel(
    scores,  # [rows, vocab]
    top_k,  # int64 [rows]
    top_p,  # [rows]
    min_p,  # [rows]
    keys,  # int32 [rows, 2]
    tokens,  # int64 [rows]
    vocab,
    PIECE: tl.constexpr,
):
    index = tl.program_id(0).to(tl.int64)
    row = scores + index * vocab
    best = tl.full((PIECE,), float("-inf"), dtype=tl.float32)
    for start in range(0, vocab, PIECE):
        token = start + tl.arange(0, PIECE)
        best = tl.maximum(best, tl.load(row + token, mask=token < vocab, other=float("-inf")))
    peak = tl.max(best)
    last = _ordered(peak)
    limit = tl.full((), -(1 << 31), dtype=tl.int64)
    k = tl.load(top_k + index)
    if k > 0:
        high = last + 1
        while high - limit > 1:
            middle = (limit + high) >> 1
            if _count_from(row, vocab, middle, PIECE) >= k:
                limit = middle
            else:
                high = middle
    p = tl.load(top_p + index)
    if p < 1.0:
        wanted = p * _mass_from(row, vocab, limit, peak, PIECE)
        low = limit - 1
        limit = last
        while limit - low > 1:
            middle = (low + limit) >> 1
            if _mass_from(row, vocab, middle + 1, peak, PIECE) < wanted:
                limit = middle
            else:
                low = middle
    floor = peak + tl.log(tl.load(min_p + index))
    first, second = tl.load(keys + 2 * index), tl.load(keys + 2 * index + 1)
    best = tl.full((PIECE,), float("-inf"), dtype=tl.float32)
    chosen = tl.zeros((PIECE,), dtype=tl.int32)
    for start in range(0, vocab, PIECE):
        token = start + tl.arange(0, PIECE)
        score = tl.load(row + token, mask=token < vocab, other=float("-inf"))
        allowed = (token < vocab) & (_ordered(score) >= limit) & (score >= floor)
        noisy = tl.where(allowed, score + _noise(token, first, second), float("-inf"))
        chosen = tl.where(noisy > best, token, chosen)
        best = tl.maximum(best, noisy)
    # The first of equals, as argmax takes it.
    tl.store(tokens + index, tl.min(tl.where(best == tl.max(best), chosen, vocab - 1)).to(tl.int64))


def draw(
    scores: torch.Tensor, top_k: torch.Tensor, top_p: torch.Tensor, min_p: torch.Tensor, keys: torch.Tensor
) -> torch.Tensor:
    """See `paddock.kernels.draw`."""
    count, vocab = scores.shape
    tokens = torch.empty(count, dtype=torch.int64, device=scores.device)
    if count:
        piece = min(PIECE, triton.next_power_of_2(vocab))
        _draw_kernel[(count,)](
            scores.contiguous(), top_k, top_p, min_p, keys, tokens, vocab, PIECE=piece, num_warps=8
        )
    return tokens
