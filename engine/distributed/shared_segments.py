"""Memory that tensor-parallel ranks of one node share. Torch-free.

It has no name, so that nothing is left of it however its processes end: they inherit its descriptor.
"""

import os
from collections.abc import Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Self

from paddock.engine.distributed.topology import Topology

if TYPE_CHECKING:
    from paddock.engine.config import ServeConfig


class SharedSegments:
    """Open while the ranks of a node are started: an empty segment for each stage whose peers are all among them."""

    def __init__(self, config: "ServeConfig", topology: Topology) -> None:
        self._wanted = topology.tensor_parallel_size > 1 and not config.parallel.disable_custom_all_reduce
        self._topology = topology
        self._opened = ExitStack()
        self._of_rank: dict[int, int] = {}

    def __enter__(self) -> Self:
        if self._wanted:
            for stage in range(self._topology.pipeline_parallel_size):
                self._open(stage)
        return self

    def _open(self, stage: int) -> None:
        peers, local = self._topology.peers(stage), self._topology.local_ranks
        if set(peers) <= set(local):
            descriptor = os.memfd_create(f"paddock-ranks-{peers[0]}-{peers[-1]}")
            self._opened.callback(os.close, descriptor)
            self._of_rank |= dict.fromkeys(peers, descriptor)

    @property
    def of_rank(self) -> Mapping[int, int]:
        """Descriptors by rank; a rank without one reaches its peers through sockets."""
        return self._of_rank

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.close()
