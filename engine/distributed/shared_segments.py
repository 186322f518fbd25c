"""What ranks of one node share on the CPU: memory of tensor-parallel peers, and ways between pipeline stages. Torch-free.

Nothing of it has a name, so that nothing is left of it however its processes end: they inherit the descriptors.
"""

import os
import socket
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Self

import msgspec

from paddock.engine.distributed.topology import Topology

if TYPE_CHECKING:
    from paddock.engine.config import ServeConfig


class Inherited(msgspec.Struct):
    """A rank's descriptors. Where one is missing, the rank reaches its peers through NCCL or gloo."""

    segment: int | None = None
    """Memory shared with the tensor-parallel peers."""
    previous: int | None = None
    """A Unix socket that leads to the same peer of the pipeline stage before."""
    following: int | None = None
    """And one to that of the stage after."""

    @property
    def descriptors(self) -> tuple[int, ...]:
        return tuple(each for each in (self.segment, self.previous, self.following) if each is not None)


class SharedSegments:
    """Open while the ranks of a node are started: for each two or more that are all among them."""

    def __init__(self, config: "ServeConfig", topology: Topology) -> None:
        self._wanted = not config.parallel.disable_custom_all_reduce
        self._topology = topology
        self._opened = ExitStack()
        self._of_rank = {rank: Inherited() for rank in topology.local_ranks}

    def __enter__(self) -> Self:
        if self._wanted and self._topology.tensor_parallel_size > 1:
            for stage in range(self._topology.pipeline_parallel_size):
                self._open_segment(self._topology.peers(stage))
        if self._wanted:
            for rank in self._topology.local_ranks:
                self._open_way(rank, rank + self._topology.tensor_parallel_size)
        return self

    def _open_segment(self, peers: range) -> None:
        if set(peers) <= set(self._of_rank):
            descriptor = os.memfd_create(f"paddock-ranks-{peers[0]}-{peers[-1]}")
            self._opened.callback(os.close, descriptor)
            for peer in peers:
                self._of_rank[peer].segment = descriptor

    def _open_way(self, rank: int, following: int) -> None:
        if following in self._of_rank:
            ends = socket.socketpair()
            for end in ends:
                self._opened.enter_context(end)
            self._of_rank[rank].following, self._of_rank[following].previous = (end.fileno() for end in ends)

    def of(self, rank: int) -> Inherited:
        return self._of_rank[rank]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.close()
