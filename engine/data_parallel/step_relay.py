"""In a node's lockstep the replicas of all other nodes are one more, which the node's control socket speaks for. Torch-free.

Only the newest step counts, so it does not matter which message brings it: each beat does, and one is sent ahead of its
time when a replica begins a step that nobody has heard of.
"""

from paddock.engine.data_parallel.lockstep import Lockstep
from paddock.engine.data_parallel.replica_tie import ReplicaTie


class StepRelay:
    """Used by the thread that has the control socket."""

    def __init__(self, tie: ReplicaTie) -> None:
        """`tie` has a bell more than the node has replicas. Raises `OSError` without memory."""
        self._lockstep = Lockstep(tie, len(tie.bells) - 1)

    @property
    def bell(self) -> int:
        """A descriptor that is readable when `untold` may have something new."""
        return self._lockstep.bell

    @property
    def known(self) -> int:
        """The newest step that was told or heard."""
        return self._lockstep.count

    def untold(self) -> int | None:
        """The step to tell the other nodes of, which counts as told; None while they know."""
        self._lockstep.hear()
        if not self._lockstep.is_behind:
            return None
        self._lockstep.count = self._lockstep.newest
        return self.known

    def heard(self, begun: int) -> bool:
        """Another node has begun this step; whether that is news here, and then the replicas that rest are woken."""
        if begun <= self._lockstep.newest:
            return False
        self._lockstep.count = begun
        self._lockstep.wake_others()
        return True
