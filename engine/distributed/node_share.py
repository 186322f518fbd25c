"""Which of the engines on a node this process belongs to: they share its cores and memory, and divide its GPUs."""

from collections.abc import Mapping
from dataclasses import dataclass

from paddock.engine.data_parallel.replica_tie import ReplicaTie

VARIABLE = "PADDOCK_NODE_SHARE"
"""Set for the processes of an engine by the command that starts several, and by nobody else."""


@dataclass(frozen=True, slots=True)
class NodeShare:
    index: int = 0
    count: int = 1
    tie: ReplicaTie | None = None
    """Of engines that share experts."""

    @staticmethod
    def of(environ: Mapping[str, str]) -> "NodeShare":
        """The whole node where nothing is said."""
        index, _, count = environ.get(VARIABLE, "0/1").partition("/")
        return NodeShare(int(index), int(count), ReplicaTie.of(environ))

    def as_environ(self) -> dict[str, str]:
        tie = {} if self.tie is None else self.tie.as_environ()
        return {VARIABLE: f"{self.index}/{self.count}", **tie}

    @property
    def descriptors(self) -> tuple[int, ...]:
        """What a process of this engine inherits."""
        return () if self.tie is None else self.tie.descriptors
