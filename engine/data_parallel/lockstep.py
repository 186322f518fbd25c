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
    """The view of one replica of a node, or of the node's `StepRelay`. Used by one thread."""

    def __init__(self, tie: ReplicaTie, member: int) -> None:
        """`member` numbers the replicas of the node; the relay comes after them. Raises `OSError` without memory."""
        self._bells, self._own = tie.bells, member
        size = len(tie.bells) * COUNT_BYTES
        os.ftruncate(tie.board, size)
        # An aligned count is stored whole: whoever reads sees the old one or the new one.
        self._begun = memoryview(mmap.mmap(tie.board, size)).cast("q")

    @property
    def bell(self) -> int:
        """A descriptor that is readable when another may have come ahead; see `hear`."""
        return self._bells[self._own]

    @property
    def is_behind(self) -> bool:
        """Whether another has begun a step that this one has not."""
        return self.newest > self.count

    @property
    def newest(self) -> int:
        """The step that the one furthest ahead has begun."""
        return max(self._begun)

    @property
    def count(self) -> int:
        """The step that this one has come to."""
        return self._begun[self._own]

    @count.setter
    def count(self, steps: int) -> None:
        """Without a word to the others."""
        self._begun[self._own] = steps

    def begin(self) -> None:
        """This replica's next step is on its way to its workers."""
        self.count += 1
        self.wake_others()

    def wake_others(self) -> None:
        for member, bell in enumerate(self._bells):
            if member != self._own:
                os.eventfd_write(bell, 1)

    def hear(self) -> None:
        """Let the bell be rung again; look at `is_behind` afterwards."""
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self.bell)
