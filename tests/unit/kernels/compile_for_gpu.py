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
    **dict.fromkeys(("scale", "softcap"), "fp32"),
}
ROWS = {"GROUP": 2, "HEAD_DIM": 128, "LANES": 128}
KERNELS = [
    (write._write_kernel, {"NUM_KV_HEADS": 8, "HEAD_DIM": 128, "HEADS": 8, "LANES": 128}),
    (attention._join_kernel, {**ROWS, "SINKS": True, "SPLIT": 256}),
    (attention._decode_kernel, {**ROWS, "M": 16, "N": 64, "SPLIT": 256}),
    (attention._prompt_kernel, {**ROWS, "SINKS": True, "NUM_HEADS": 16, "M": 64, "N": 64}),
]

for kernel, constants in KERNELS:
    signature = {
        name: "constexpr" if name in constants else TYPES.get(name, "i32") for name in kernel.arg_names
    }
    binary = triton.compile(ASTSource(kernel, signature, constants), target=HOPPER)
    assert binary.asm["cubin"]
    print(kernel.__name__)
