"""The compiled CPU kernels, and whether this machine has them.

`PADDOCK_CPU_KERNELS` chooses the instruction set: `auto` (the best one here), `avx512`, `avx2`, `portable`,
or `torch` for the plain PyTorch definitions. Without the compiled module (no C++ compiler at
installation) the PyTorch definitions run, and one log line says so.
"""

import logging
import os
from types import ModuleType

import torch  # first: its OpenMP runtime is then the one that the module links to, so there is one thread pool

logger = logging.getLogger(__name__)

ELEMENT = {torch.float32: 0, torch.bfloat16: 1}
"""Element types that the compiled kernels take, by the module's code for them."""

CACHE_ELEMENT = {torch.bfloat16: 1, torch.float8_e4m3fn: 2, torch.float8_e5m2: 3}
"""Element types that a cache may have when they are not the computation's; 0 says that they are."""


def _load() -> ModuleType | None:
    choice = os.environ.get("PADDOCK_CPU_KERNELS", "auto")
    if choice == "torch":
        return None
    try:
        from paddock.kernels.native import _native
    except ImportError as error:
        logger.warning(
            "CPU kernels run as plain PyTorch, several times slower: the compiled module is missing (%s). "
            "Install g++ and the Python headers, then install paddock again.",
            error,
        )
        return None
    try:
        _native.select(None if choice == "auto" else choice)
    except ValueError as error:
        raise ValueError(
            f"PADDOCK_CPU_KERNELS is {choice!r}: {error}; use auto, avx512, avx2, portable or torch"
        ) from None
    return _native


library = _load()
"""The compiled module, or None."""


def handles(x: torch.Tensor) -> bool:
    """Whether the compiled kernels run for tensors of this device and element type."""
    return library is not None and x.is_cpu and x.dtype in ELEMENT


def handles_cache(x: torch.Tensor, cache: torch.Tensor) -> bool:
    """Whether the compiled kernels run for tensors like `x` with this cache."""
    return handles(x) and (cache.dtype == x.dtype or cache.dtype in CACHE_ELEMENT)


def cache_element(x: torch.Tensor, cache: torch.Tensor) -> int:
    """The module's code for the cache's element type, beside computations in that of `x`."""
    return 0 if cache.dtype == x.dtype else CACHE_ELEMENT[cache.dtype]
