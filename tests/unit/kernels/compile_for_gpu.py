"""Compiles every Triton kernel to GPU machine code; prints a kernel's name for each. Needs no GPU."""

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from paddock.kernels.cache_write import triton_kernel as write
from paddock.kernels.draw import triton_kernel as draw
from paddock.kernels.moe import triton_kernel as experts
from paddock.kernels.paged_attention import triton_kernel as attention
from paddock.kernels.rms_norm import triton_kernel as norm
from paddock.kernels.rotary_cache_write import triton_kernel as rotary
from paddock.kernels.silu_and_mul import triton_kernel as gate

HOPPER = GPUTarget("cuda", 90, 32)
TYPES = {
    **dict.fromkeys(("query", "key", "value", "key_cache", "value_cache", "out"), "*bf16"),
    **dict.fromkeys(("cu_seqlens", "seq_lens", "block_table"), "*i32"),
    **dict.fromkeys(("partial", "sinks"), "*fp32"),
    "slot_mapping": "*i64",
    **dict.fromkeys(("scale", "softcap", "key_scale", "value_scale"), "fp32"),
}
NARROW = TYPES | dict.fromkeys(("key_cache", "value_cache"), "*fp8e4nv")
WRITE = {"NUM_KV_HEADS": 8, "HEAD_DIM": 128, "HEADS": 8, "LANES": 128}
ROWS = {"GROUP": 2, "HEAD_DIM": 128, "LANES": 128}
SPLITS = {"N": 64, "SPLIT": 256, "MAX_SPLITS": 64}
ROW = {
    **dict.fromkeys(("x", "residual", "weight", "out", "total", "qkv", "query"), "*bf16"),
    **dict.fromkeys(("key_cache", "value_cache", "q_norm", "k_norm"), "*bf16"),
    **dict.fromkeys(("cos", "sin", "scores", "top_p", "min_p"), "*fp32"),
    **dict.fromkeys(("slot_mapping", "top_k", "tokens"), "*i64"),
    **dict.fromkeys(("key_scale", "value_scale", "eps"), "fp32"),
    "keys": "*i32",
}
HEAD = {"Q_NORM": True, "K_NORM": True, "LANES": 128}
EXPERTS = {
    **dict.fromkeys(("x", "weight", "bias", "out"), "*bf16"),
    **dict.fromkeys(("rows", "offsets", "tile_ends"), "*i64"),
}
TILE = {"SORTED": True, "BIAS": True, "EXPERTS": 128, "OUTS": 64, "DEPTH": 32}
KERNELS = [
    (TYPES, write._write_kernel, {**WRITE, "LARGEST": 0.0}),
    (NARROW, write._write_kernel, {**WRITE, "LARGEST": 448.0}),
    (TYPES, attention._join_kernel, {**ROWS, **SPLITS, "SINKS": True}),
    (TYPES, attention._decode_kernel, {**ROWS, **SPLITS, "M": 16}),
    (NARROW, attention._decode_kernel, {**ROWS, **SPLITS, "M": 16}),
    (TYPES, attention._prompt_kernel, {**ROWS, "SINKS": True, "NUM_HEADS": 16, "M": 64, "N": 64}),
    (NARROW, attention._prompt_kernel, {**ROWS, "SINKS": True, "NUM_HEADS": 16, "M": 64, "N": 64}),
    (ROW, norm._norm_kernel, {"RESIDUAL": True, "LANES": 4096}),
    (ROW, gate._gate_kernel, {"PIECE": 1024}),
    (ROW, rotary._head_kernel, {**HEAD, "LARGEST": 0.0}),
    (
        ROW | dict.fromkeys(("key_cache", "value_cache"), "*fp8e4nv"),
        rotary._head_kernel,
        {**HEAD, "LARGEST": 448.0},
    ),
    (ROW, draw._draw_kernel, {"PIECE": 4096}),
    (EXPERTS, experts._grouped_kernel, {**TILE, "ROWS": 16}),
    (EXPERTS, experts._grouped_kernel, {**TILE, "ROWS": 64}),
]

for types, kernel, constants in KERNELS:
    signature = {
        name: "constexpr" if name in constants else types.get(name, "i32") for name in kernel.arg_names
    }
    binary = triton.compile(ASTSource(kernel, signature, constants), target=HOPPER)
    assert binary.asm["cubin"]
    print(kernel.__name__)
