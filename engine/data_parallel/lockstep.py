"""Replicas that share experts make as many steps as each other: who has no work takes part in those of the others.

A replica counts the steps it has begun, and begins an empty one whenever another is ahead. So the n-th step of each meets
the n-th of all others, nobody waits for a step that does not come, and when none has work none makes any. Torch-free.
"""

import contextlib
import mmap
import os

from paddock.engine.data_parallel.replica_tie import ReplicaTie

COUNT_BYTES = 8


class Lockstep:
    """One replica's view. Used by one thread."""

    def __init__(self, tie: ReplicaTie, replica: int) -> None:
        """Raises `OSError` when the memory cannot be had."""
        self._bells, self._own = tie.bells, replica
        size = len(tie.bells) * COUNT_BYTES
        os.ftruncate(tie.board, size)
        # An aligned count is stored whole: whoever reads sees the old one or the new one.
        self._begun = memoryview(mmap.mmap(tie.board, size)).cast("q")

    @property
    def bell(self) -> int:
        """A descriptor that is readable when another replica may have come ahead; see `hear`."""
        return self._bells[self._own]

    @property
    def is_behind(self) -> bool:
        """Whether another replica has begun a step that this one has not."""
        return max(self._begun) > self._begun[self._own]

    def begin(self) -> None:
        """This replica's next step is on its way to its workers."""
        self._begun[self._own] += 1
        for replica, bell in enumerate(self._bells):
            if replica != self._own:
                os.eventfd_write(bell, 1)

    def hear(self) -> None:
        """Let the bell be rung again; look at `is_behind` afterwards."""
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self.bell)
