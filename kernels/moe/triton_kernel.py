"""Experts on NVIDIA GPUs: one program makes a tile of one expert's outputs for some of its rows."""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, misc, untyped-decorator"
# Triton reads annotations as its own types, so a kernel's arguments are described in comments.

import torch
import triton
import triton.language as tl

from paddock.kernels.moe.sorted_tokens import SortedTokens

ROWS, OUTS, DEPTH = 64, 64, 32
"""Of a tile; the sums are over `DEPTH` products at a time."""

FEW_ROWS = 16
"""Of a tile where experts have few rows each: the least that tensor cores take."""


@triton.jit
def _grouped_kernel(
    x,  # [any, in], row stride x_stride
    rows,  # int64 [sorted rows]: the row of x for each
    offsets,  # int64 [experts + 1]
    tile_ends,  # int64 [experts]: tiles of rows up to and with each expert
    weight,  # [experts, out, in]
    bias,  # [experts, out]
    out,  # [sorted rows, out]
    x_stride,
    num_experts,
    in_features,
    out_features,
    SORTED: tl.constexpr,
    BIAS: tl.constexpr,
    EXPERTS: tl.constexpr,
    ROWS: tl.constexpr,
    OUTS: tl.constexpr,
    DEPTH: tl.constexpr,
):
    tile = tl.program_id(0)
    lanes = tl.arange(0, EXPERTS)
    ends = tl.load(tile_ends + lanes, mask=lanes < num_experts, other=1 << 60)
    expert = tl.sum((ends <= tile).to(tl.int64))
    if expert < num_experts:
        before = tl.max(tl.where(lanes < expert, ends, 0))
        first = tl.load(offsets + expert) + (tile - before) * ROWS
        place = first + tl.arange(0, ROWS)
        here = place < tl.load(offsets + expert + 1)
        source = place if SORTED else tl.load(rows + place, mask=here, other=0)
        col = tl.program_id(1).to(tl.int64) * OUTS + tl.arange(0, OUTS)
        used = col < out_features
        # int64 addresses: the experts of a layer pass 2^31 elements.
        weights = weight + (expert * out_features + col[None, :]) * in_features
        total = tl.zeros((ROWS, OUTS), dtype=tl.float32)
        for start in range(0, in_features, DEPTH):
            k = start + tl.arange(0, DEPTH)
            inside = k < in_features
            left = tl.load(
                x + source[:, None] * x_stride + k[None, :], mask=here[:, None] & inside[None, :], other=0.0
            )
            right = tl.load(weights + k[:, None], mask=inside[:, None] & used[None, :], other=0.0)
            total = tl.dot(left, right, total, input_precision="ieee")
        if BIAS:
            total += tl.load(bias + expert * out_features + col, mask=used, other=0.0)[None, :].to(tl.float32)
        target = out + place[:, None] * out_features + col[None, :]
        tl.store(target, total.to(out.dtype.element_ty), mask=here[:, None] & used[None, :])


def grouped_linear(
    x: torch.Tensor,
    tokens: SortedTokens,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    *,
    sorted_x: bool,
) -> torch.Tensor:
    """`[any, in]` to `[sorted rows, out]` by `weight` `[experts, out, in]`. Nothing waits for the GPU."""
    num_experts, out_features, in_features = weight.shape
    assert x.stride(1) == 1
    assert weight.is_contiguous()
    total = len(tokens.rows)
    out = x.new_empty(total, out_features)
    if not total:
        return out
    rows_of_tile = ROWS if total >= ROWS * num_experts else FEW_ROWS
    counts = tokens.offsets.diff()
    tile_ends = ((counts + rows_of_tile - 1) // rows_of_tile).cumsum(0)
    # The most there can be: each expert's last tile may be part empty.
    tiles = triton.cdiv(total, rows_of_tile) + min(num_experts, total)
    _grouped_kernel[(tiles, triton.cdiv(out_features, OUTS))](
        x,
        tokens.rows,
        tokens.offsets,
        tile_ends,
        weight,
        weight if bias is None else bias,
        out,
        x.stride(0),
        num_experts,
        in_features,
        out_features,
        SORTED=sorted_x,
        BIAS=bias is not None,
        EXPERTS=triton.next_power_of_2(num_experts),
        ROWS=rows_of_tile,
        OUTS=OUTS,
        DEPTH=DEPTH,
    )
    return out
