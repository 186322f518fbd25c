"""Paged attention on NVIDIA GPUs: decodes split over the context, prompt chunks in tiles of queries.

A tile's rows are (token, head of the KV head's group) pairs, so a key is read once for its whole group. Where a
context is split follows from its own length, and partial results join in order of position: a decode's result does not
depend on the other sequences of the batch. Nor does its launch depend on any length: only on the shapes of tensors, so
that a CUDA graph of it holds for every step of as many sequences.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, misc, untyped-decorator"
# Triton reads annotations as its own types, so a kernel's arguments are described in comments.

import torch
import triton
import triton.language as tl

from paddock.kernels.attention_metadata import AttentionMetadata
from paddock.kernels.cache_scales import FLOAT8, UNSCALED, CacheScales

SPLIT = 256
"""Positions of one split of a decode, at least."""

MAX_SPLITS = 64
"""Of one sequence: longer contexts have longer splits."""

PROGRAMS = 4096
"""Enough to fill any GPU some times over; a program takes every so-manieth split of its sequence and KV head."""

EVERYTHING = 1 << 30
"""A window that no context is longer than."""

LOG2_E = 1.4426950408889634


@triton.jit
def _attend(
    query,  # [M, LANES] in the query's dtype, zeros where masked
    position,  # [M] position of each row
    begin,  # first and last + 1 position that any row sees
    end,
    window,
    scale,
    softcap,  # in the scores' unit, 0 for none
    block_row,  # this sequence's block ids
    keys,  # base of this KV head in the key cache
    values,
    cache_stride,
    block_size,
    HEAD_DIM: tl.constexpr,
    LANES: tl.constexpr,
    M: tl.constexpr,
    N: tl.constexpr,
):
    """Running softmax over [begin, end); returns (values [M, LANES], maximum [M], sum [M]) in float32, base 2."""
    lane = tl.arange(0, LANES)
    acc = tl.zeros([M, LANES], dtype=tl.float32)
    maximum = tl.full([M], float("-inf"), dtype=tl.float32)
    total = tl.zeros([M], dtype=tl.float32)
    for start in range(begin, end, N):
        n = start + tl.arange(0, N)
        inside = n < end
        block = tl.load(block_row + n // block_size, mask=inside, other=0).to(tl.int64)
        row = block * cache_stride + (n % block_size) * HEAD_DIM
        address = row[:, None] + lane[None, :]
        mask = inside[:, None] & (lane < HEAD_DIM)[None, :]
        # A cache of another type is exact in the query's, but for a float32 model's in bfloat16, which lost bits before.
        k = tl.load(keys + address, mask=mask, other=0.0).to(query.dtype)
        v = tl.load(values + address, mask=mask, other=0.0).to(query.dtype)
        # float32 inputs keep full precision; tl.dot would round them to TF32.
        scores = tl.dot(query, tl.trans(k), input_precision="ieee") * scale
        if softcap > 0:
            # tanh(x) = 2 / (1 + exp(-2 x)) - 1; the scores' unit is log2(e).
            scores = softcap * (2.0 / (1.0 + tl.exp(-2.0 * scores / softcap)) - 1.0)
        visible = (
            inside[None, :] & (n[None, :] <= position[:, None]) & (n[None, :] > position[:, None] - window)
        )
        scores = tl.where(visible, scores, float("-inf"))
        highest = tl.maximum(maximum, tl.max(scores, axis=1))
        # A row that has seen nothing yet has no maximum to subtract.
        base = tl.where(highest == float("-inf"), 0.0, highest)
        weights = tl.exp2(scores - base[:, None])
        factor = tl.exp2(maximum - base)
        total = total * factor + tl.sum(weights, axis=1)
        acc = acc * factor[:, None] + tl.dot(weights.to(v.dtype), v, input_precision="ieee")
        maximum = highest
    return acc, maximum, total


@triton.jit
def _prompt_kernel(
    query,  # [tokens, heads, head_dim], token stride query_stride
    key_cache,  # [blocks, kv_heads, block_size, head_dim]
    value_cache,
    out,  # [tokens, heads, head_dim], contiguous
    sinks,  # float32 [heads], base 2; read only with SINKS
    cu_seqlens,
    seq_lens,
    block_table,
    first_sequence,
    query_stride,
    table_stride,
    cache_stride,
    block_size,
    window,
    scale,
    softcap,
    value_scale,
    SINKS: tl.constexpr,
    GROUP: tl.constexpr,
    NUM_HEADS: tl.constexpr,
    HEAD_DIM: tl.constexpr,
    LANES: tl.constexpr,
    M: tl.constexpr,
    N: tl.constexpr,
):
    sequence = first_sequence + tl.program_id(0)
    head = tl.program_id(2)
    first_token = tl.load(cu_seqlens + sequence)
    query_len = tl.load(cu_seqlens + sequence + 1) - first_token
    TOKENS: tl.constexpr = M // GROUP
    tile_token = tl.program_id(1) * TOKENS
    if tile_token < query_len:
        r = tl.arange(0, M)
        token = tile_token + r // GROUP
        live = (r < TOKENS * GROUP) & (token < query_len)
        context = tl.load(seq_lens + sequence) - query_len
        lane = tl.arange(0, LANES)
        mask = live[:, None] & (lane < HEAD_DIM)[None, :]
        in_token = ((head * GROUP + r % GROUP) * HEAD_DIM)[:, None] + lane[None, :]
        place = (first_token + token).to(tl.int64)[:, None]
        q = tl.load(query + place * query_stride + in_token, mask=mask, other=0.0)
        position = context + token
        end = context + tl.minimum(tile_token + TOKENS, query_len)
        begin = tl.maximum(context + tile_token + 1 - window, 0) // N * N
        block_row = block_table + sequence.to(tl.int64) * table_stride
        in_block = head.to(tl.int64) * block_size * HEAD_DIM
        acc, maximum, total = _attend(
            q,
            position,
            begin,
            end,
            window,
            scale,
            softcap,
            block_row,
            key_cache + in_block,
            value_cache + in_block,
            cache_stride,
            block_size,
            HEAD_DIM,
            LANES,
            M,
            N,
        )
        if SINKS:
            sink = tl.load(sinks + head * GROUP + r % GROUP)
            highest = tl.maximum(maximum, sink)
            factor = tl.exp2(maximum - highest)
            acc = acc * factor[:, None]
            total = total * factor + tl.exp2(sink - highest)
        result = acc * value_scale / tl.where(live, total, 1.0)[:, None]
        tl.store(out + place * (NUM_HEADS * HEAD_DIM) + in_token, result.to(out.dtype.element_ty), mask=mask)


@triton.jit
def _split_size(seq_len, SPLIT: tl.constexpr, MAX_SPLITS: tl.constexpr, N: tl.constexpr):
    """Positions of a split of a context, by its length alone."""
    return tl.maximum(SPLIT, tl.cdiv(tl.cdiv(seq_len, MAX_SPLITS), N) * N)


@triton.jit
def _decode_kernel(
    query,
    key_cache,
    value_cache,
    partial,  # float32 [decodes, kv_heads, room, GROUP, HEAD_DIM + 2]: values, maximum, sum
    seq_lens,
    block_table,
    query_stride,
    table_stride,
    cache_stride,
    block_size,
    window,
    scale,
    softcap,
    room,  # splits that `partial` has place for
    GROUP: tl.constexpr,
    HEAD_DIM: tl.constexpr,
    LANES: tl.constexpr,
    M: tl.constexpr,
    N: tl.constexpr,
    SPLIT: tl.constexpr,
    MAX_SPLITS: tl.constexpr,
):
    sequence = tl.program_id(0).to(tl.int64)
    head = tl.program_id(1).to(tl.int64)
    seq_len = tl.load(seq_lens + sequence)
    r = tl.arange(0, M)
    lane = tl.arange(0, LANES)
    mask = (r < GROUP)[:, None] & (lane < HEAD_DIM)[None, :]
    q = tl.load(
        query + sequence * query_stride + ((head * GROUP + r) * HEAD_DIM)[:, None] + lane[None, :],
        mask=mask,
        other=0.0,
    )
    in_block = head * block_size * HEAD_DIM
    size = _split_size(seq_len, SPLIT, MAX_SPLITS, N)
    seen = tl.maximum(seq_len - window, 0)
    for split in range(seen // size + tl.program_id(2), tl.cdiv(seq_len, size), tl.num_programs(2)):
        acc, maximum, total = _attend(
            q,
            tl.zeros([M], dtype=tl.int32) + (seq_len - 1),
            tl.maximum(split * size, seen // N * N),
            tl.minimum((split + 1) * size, seq_len),
            window,
            scale,
            softcap,
            block_table + sequence * table_stride,
            key_cache + in_block,
            value_cache + in_block,
            cache_stride,
            block_size,
            HEAD_DIM,
            LANES,
            M,
            N,
        )
        place = (sequence * tl.num_programs(1) + head) * room + split
        target = partial + (place * GROUP + r) * (HEAD_DIM + 2)
        tl.store(target[:, None] + lane[None, :], acc, mask=mask)
        tl.store(target + HEAD_DIM, maximum, mask=r < GROUP)
        tl.store(target + HEAD_DIM + 1, total, mask=r < GROUP)


@triton.jit
def _join_kernel(
    partial,
    out,  # [tokens, heads, head_dim], contiguous
    sinks,  # float32 [heads], base 2; read only with SINKS
    seq_lens,
    room,
    window,
    value_scale,
    SINKS: tl.constexpr,
    GROUP: tl.constexpr,
    HEAD_DIM: tl.constexpr,
    LANES: tl.constexpr,
    N: tl.constexpr,
    SPLIT: tl.constexpr,
    MAX_SPLITS: tl.constexpr,
):
    sequence = tl.program_id(0).to(tl.int64)
    query_head = tl.program_id(1)
    head, member = query_head // GROUP, query_head % GROUP
    num_kv_heads = tl.num_programs(1) // GROUP
    seq_len = tl.load(seq_lens + sequence)
    lane = tl.arange(0, LANES)
    acc = tl.zeros([LANES], dtype=tl.float32)
    maximum = float("-inf")
    total = 0.0
    if SINKS:
        maximum = tl.load(sinks + query_head)
        total = 1.0
    size = _split_size(seq_len, SPLIT, MAX_SPLITS, N)
    for split in range(tl.maximum(seq_len - window, 0) // size, tl.cdiv(seq_len, size)):
        place = ((sequence * num_kv_heads + head) * room + split) * GROUP + member
        row = partial + place * (HEAD_DIM + 2)
        values = tl.load(row + lane, mask=lane < HEAD_DIM, other=0.0)
        split_maximum = tl.load(row + HEAD_DIM)
        highest = tl.maximum(maximum, split_maximum)
        old, new = tl.exp2(maximum - highest), tl.exp2(split_maximum - highest)
        acc = acc * old + values * new
        total = total * old + tl.load(row + HEAD_DIM + 1) * new
        maximum = highest
    target = out + (sequence * tl.num_programs(1) + query_head) * HEAD_DIM + lane
    tl.store(target, (acc * value_scale / total).to(out.dtype.element_ty), mask=lane < HEAD_DIM)


def paged_attention(
    query: torch.Tensor,
    key_cache: torch.Tensor,
    value_cache: torch.Tensor,
    metadata: AttentionMetadata,
    scale: float,
    out: torch.Tensor | None = None,
    *,
    softcap: float = 0.0,
    sinks: torch.Tensor | None = None,
    scales: CacheScales = UNSCALED,
) -> torch.Tensor:
    """See `paddock.kernels.paged_attention`."""
    assert query.stride()[1:] == (query.shape[2], 1)
    assert key_cache.stride() == value_cache.stride()
    if out is None:
        out = torch.empty_like(query, memory_format=torch.contiguous_format)
    assert out.is_contiguous()
    key_scale, value_scale = scales if key_cache.dtype in FLOAT8 else UNSCALED
    scale *= key_scale
    scaled_sinks = None if sinks is None else sinks.float() * LOG2_E
    if metadata.num_decodes:
        _launch_decode(
            query, key_cache, value_cache, metadata, scale, out, softcap, scaled_sinks, value_scale
        )
    if metadata.num_decodes < metadata.seq_lens.shape[0]:
        _launch_prompt(
            query, key_cache, value_cache, metadata, scale, out, softcap, scaled_sinks, value_scale
        )
    return out


def _window(metadata: AttentionMetadata) -> int:
    return metadata.sliding_window or EVERYTHING


def _launch_prompt(
    query: torch.Tensor,
    key_cache: torch.Tensor,
    value_cache: torch.Tensor,
    metadata: AttentionMetadata,
    scale: float,
    out: torch.Tensor,
    softcap: float,
    sinks: torch.Tensor | None,
    value_scale: float,
) -> None:
    num_heads, head_dim = query.shape[1:]
    num_kv_heads, block_size = key_cache.shape[1:3]
    group = num_heads // num_kv_heads
    rows = max(64, triton.next_power_of_2(group))
    tiles = triton.cdiv(metadata.max_query_len, rows // group)
    _prompt_kernel[(metadata.seq_lens.shape[0] - metadata.num_decodes, tiles, num_kv_heads)](
        query,
        key_cache,
        value_cache,
        out,
        sinks,
        metadata.cu_seqlens,
        metadata.seq_lens,
        metadata.block_table,
        metadata.num_decodes,
        query.stride(0),
        metadata.block_table.stride(0),
        key_cache.stride(0),
        block_size,
        _window(metadata),
        scale * LOG2_E,
        softcap * LOG2_E,
        value_scale,
        SINKS=sinks is not None,
        GROUP=group,
        NUM_HEADS=num_heads,
        HEAD_DIM=head_dim,
        LANES=triton.next_power_of_2(head_dim),
        M=rows,
        N=64,
    )


def _launch_decode(
    query: torch.Tensor,
    key_cache: torch.Tensor,
    value_cache: torch.Tensor,
    metadata: AttentionMetadata,
    scale: float,
    out: torch.Tensor,
    softcap: float,
    sinks: torch.Tensor | None,
    value_scale: float,
) -> None:
    num_heads, head_dim = query.shape[1:]
    num_kv_heads, block_size = key_cache.shape[1:3]
    group = num_heads // num_kv_heads
    # Of what the block table can hold, not of what it does.
    room = min(MAX_SPLITS, triton.cdiv(metadata.block_table.shape[1] * block_size, SPLIT))
    programs = min(room, triton.cdiv(PROGRAMS, metadata.num_decodes * num_kv_heads))
    partial = torch.empty(
        metadata.num_decodes,
        num_kv_heads,
        room,
        group,
        head_dim + 2,
        dtype=torch.float32,
        device=query.device,
    )
    sizes = {
        "GROUP": group,
        "HEAD_DIM": head_dim,
        "LANES": triton.next_power_of_2(head_dim),
        "N": 64,
        "SPLIT": SPLIT,
        "MAX_SPLITS": MAX_SPLITS,
    }
    _decode_kernel[(metadata.num_decodes, num_kv_heads, programs)](
        query,
        key_cache,
        value_cache,
        partial,
        metadata.seq_lens,
        metadata.block_table,
        query.stride(0),
        metadata.block_table.stride(0),
        key_cache.stride(0),
        block_size,
        _window(metadata),
        scale * LOG2_E,
        softcap * LOG2_E,
        room,
        M=max(16, triton.next_power_of_2(group)),  # tl.dot takes 16 rows or more
        **sizes,
    )
    _join_kernel[(metadata.num_decodes, num_heads)](
        partial,
        out,
        sinks,
        metadata.seq_lens,
        room,
        _window(metadata),
        value_scale,
        SINKS=sinks is not None,
        **sizes,
    )
