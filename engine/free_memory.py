"""Memory that this process allocates no more."""

import ctypes
import gc

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""Parameters of glibc's mallopt(3)."""
KEPT_BYTES = 256 << 20
"""More than the tensors of one layer take in a large step."""
LARGEST_REUSED = 32 << 20
"""The most that mallopt allows; what is larger always comes from the kernel anew."""


def keep_freed_memory() -> None:
    """Let freed memory be used again, instead of going back at once: a prompt's step frees megabytes in each layer, and
    getting them anew, page by page, took a fifth of its time."""
    library = ctypes.CDLL(None)
    library.mallopt(TRIM_THRESHOLD, KEPT_BYTES)
    library.mallopt(MMAP_THRESHOLD, LARGEST_REUSED)


def return_free_memory() -> None:
    """Give it back to the machine: the C library keeps it otherwise. Takes milliseconds."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
