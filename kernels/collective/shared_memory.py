"""Collectives over one segment of shared memory: some microseconds for a token's hidden state.

A rank waits for its peers by looking at their sequence numbers for a few dozen microseconds, and asleep after that. It
waits for ever: whoever owns the ranks finds out which of them is dead, and ends the others.
"""

import mmap
import os
from collections.abc import Callable

import torch

from paddock.kernels import native

MARKS_BYTES = 4096
"""At the segment's beginning; see `exchange.h`."""

SLOT_BYTES = 256 << 10
"""What a rank tells at a time: it is read again while it is in the second-level cache."""

MOST_RANKS = MARKS_BYTES // 64


def shared_memory_serves(ranks: int) -> bool:
    """Whether the compiled kernels are there, and so many ranks have room in a segment."""
    return native.library is not None and ranks <= MOST_RANKS


class SharedMemoryRanks:
    """One rank of several. All of them call the same methods in the same order, with tensors of the same size.

    Sums are in float32, in the order of the ranks, and rounded once: every rank gets the same bits.
    """

    def __init__(self, descriptor: int, rank: int, ranks: int) -> None:
        """`descriptor` is of memory that all ranks share, empty or zero at first, as from `os.memfd_create`.

        It may be closed afterwards. Raises `OSError` when the memory cannot be had.
        """
        assert shared_memory_serves(ranks)
        size = MARKS_BYTES + 2 * ranks * SLOT_BYTES
        os.ftruncate(descriptor, size)
        self._memory = mmap.mmap(descriptor, size)
        self._segment = torch.frombuffer(self._memory, dtype=torch.uint8)
        self.rank, self.ranks = rank, ranks

    def all_reduce(self, x: torch.Tensor) -> None:
        """The sum of the ranks' `x`, in place. float32, bfloat16 or float16."""
        assert native.library is not None
        if x.dtype in native.ELEMENT and x.is_contiguous():
            self._run(native.library.exchange_reduce, x, x)
            return
        parts = self.all_gather(x.reshape(1, -1)).view(self.ranks, *x.shape)
        x.copy_(parts.float().sum(0))

    def all_gather(self, x: torch.Tensor) -> torch.Tensor:
        """The ranks' `x` `[rows, n]` side by side: `[rows, ranks * n]`."""
        assert native.library is not None
        x = x.contiguous()
        out = x.new_empty(x.shape[0], self.ranks * x.shape[1])
        self._run(native.library.exchange_gather, x, out, rows=x.shape[0])
        return out

    def broadcast(self, x: torch.Tensor) -> None:
        """The first rank's `x`, written over the other ranks'. It must be contiguous."""
        assert native.library is not None
        assert x.is_contiguous()
        self._run(native.library.exchange_broadcast, x, x)

    def _run(self, operation: Callable[..., None], x: torch.Tensor, out: torch.Tensor, rows: int = 1) -> None:
        if not x.numel():
            return
        operation(
            native.ELEMENT.get(x.dtype, 0),
            1,
            self._segment.data_ptr(),
            x.data_ptr(),
            out.data_ptr(),
            self.rank,
            self.ranks,
            SLOT_BYTES,
            rows,
            x.nbytes // rows,
        )
