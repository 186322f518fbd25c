"""Running out of memory in the middle of a step."""

import torch

_WORDS = (
    "can't allocate memory",
    "out of memory",
    "not enough memory",
    "bad_alloc",
    "Cannot allocate memory",
)
"""What torch's CPU allocator, oneDNN, C++ and the C library say: they have no error class of their own."""


NO_MEMORY = (
    "the engine found no memory to compute this request; send it again when there is less load, or have the server "
    "started with lower --max-num-batched-tokens, --max-num-seqs or --gpu-memory-utilization."
)


def is_shortage(error: BaseException) -> bool:
    """Was there too little memory for what was tried?"""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError | OSError) and any(word in str(error) for word in _WORDS)
