"""Addresses, sizes and strides go in unchecked: only the `cpu.py` of an operation calls these."""

def select(name: str | None) -> str: ...
def linear(
    element: int,
    threads: int,
    x: int,
    weight: int,
    bias: int,
    out: int,
    rows: int,
    in_features: int,
    out_features: int,
    x_stride: int,
) -> None: ...
def pack(
    element: int, threads: int, weight: int, packed: int, in_features: int, out_features: int
) -> None: ...
def lookup(
    element: int, threads: int, packed: int, indices: int, out: int, rows: int, in_features: int
) -> None: ...
def norm(
    element: int,
    threads: int,
    x: int,
    residual: int,
    weight: int,
    out: int,
    total: int,
    rows: int,
    dim: int,
    x_stride: int,
    eps: float,
) -> None: ...
def gate(element: int, threads: int, x: int, out: int, rows: int, dim: int) -> None: ...
def rotary(
    element: int,
    threads: int,
    qkv: int,
    cos: int,
    sin: int,
    q_norm: int,
    k_norm: int,
    query: int,
    key_cache: int,
    value_cache: int,
    slots: int,
    tokens: int,
    qkv_stride: int,
    heads: int,
    kv_heads: int,
    head_dim: int,
    rotary_half: int,
    block_size: int,
    cache_stride: int,
    eps: float,
) -> None: ...
def attention(
    element: int,
    threads: int,
    query: int,
    key_cache: int,
    value_cache: int,
    out: int,
    cu_seqlens: int,
    seq_lens: int,
    block_table: int,
    sinks: int,
    sequences: int,
    table_stride: int,
    query_stride: int,
    heads: int,
    kv_heads: int,
    head_dim: int,
    block_size: int,
    cache_stride: int,
    window: int,
    scale: float,
    softcap: float,
) -> None: ...
