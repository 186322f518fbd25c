"""Compiles every Triton kernel to GPU machine code; prints a kernel's name for each. Needs no GPU."""

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from paddock.kernels.cache_write import triton_kernel as write
from paddock.kernels.paged_attention import triton_kernel as attention

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
KERNELS = [
    (TYPES, write._write_kernel, {**WRITE, "LARGEST": 0.0}),
    (NARROW, write._write_kernel, {**WRITE, "LARGEST": 448.0}),
    (TYPES, attention._join_kernel, {**ROWS, "SINKS": True, "SPLIT": 256}),
    (TYPES, attention._decode_kernel, {**ROWS, "M": 16, "N": 64, "SPLIT": 256}),
    (NARROW, attention._decode_kernel, {**ROWS, "M": 16, "N": 64, "SPLIT": 256}),
    (TYPES, attention._prompt_kernel, {**ROWS, "SINKS": True, "NUM_HEADS": 16, "M": 64, "N": 64}),
    (NARROW, attention._prompt_kernel, {**ROWS, "SINKS": True, "NUM_HEADS": 16, "M": 64, "N": 64}),
]

for types, kernel, constants in KERNELS:
    signature = {
        name: "constexpr" if name in constants else types.get(name, "i32") for name in kernel.arg_names
    }
    binary = triton.compile(ASTSource(kernel, signature, constants), target=HOPPER)
    assert binary.asm["cubin"]
    print(kernel.__name__)
