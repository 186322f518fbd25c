"""What ties the replicas of a node that share their experts: descriptors that their processes inherit. Torch-free.

Nothing of it has a name, so that nothing is left of it however the processes end.
"""

import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from paddock.engine.config import ServeConfig

VARIABLE = "PADDOCK_REPLICA_TIE"
"""Set for the processes of engines by the command that starts them, and by nobody else."""


@dataclass(frozen=True, slots=True)
class ReplicaTie:
    board: int
    """Memory with the number of steps that each replica has begun."""
    store: int
    """A socket that listens on loopback, where ranks find each other that do not share memory."""
    bells: tuple[int, ...]
    """An eventfd(2) of each replica, rung when another begins a step."""
    experts: tuple[int, ...]
    """Memory of each pipeline stage that its ranks of all replicas share; none where they are to use sockets."""

    @staticmethod
    def of(environ: Mapping[str, str]) -> "ReplicaTie | None":
        """None where replicas have nothing to do with each other."""
        text = environ.get(VARIABLE)
        if not text:
            return None
        (board, store), bells, experts = ([int(n) for n in part.split()] for part in text.split(","))
        return ReplicaTie(board, store, tuple(bells), tuple(experts))

    def as_environ(self) -> dict[str, str]:
        parts = (self.board, self.store), self.bells, self.experts
        return {VARIABLE: ",".join(" ".join(map(str, part)) for part in parts)}

    @property
    def descriptors(self) -> tuple[int, ...]:
        """All, for whoever starts a process that is to inherit them."""
        return self.board, self.store, *self.bells, *self.experts


def shares_experts(config: "ServeConfig") -> bool:
    """Whether the replicas of this configuration compute each other's tokens."""
    return config.parallel.enable_expert_parallel and config.parallel.data_parallel_size > 1


@contextmanager
def opened_tie(config: "ServeConfig") -> Iterator[ReplicaTie | None]:
    """While the replicas are started; None where these do not share experts. Raises `OSError`."""
    if not shares_experts(config):
        yield None
        return
    parallel = config.parallel
    stages = 0 if parallel.disable_custom_all_reduce else parallel.pipeline_parallel_size
    with ExitStack() as opened:

        def keep(descriptor: int) -> int:
            opened.callback(os.close, descriptor)
            return descriptor

        listener = opened.enter_context(socket.create_server(("127.0.0.1", 0)))
        yield ReplicaTie(
            keep(os.memfd_create("paddock-board")),
            listener.fileno(),
            tuple(keep(os.eventfd(0, os.EFD_NONBLOCK)) for _ in range(parallel.data_parallel_size)),
            tuple(keep(os.memfd_create(f"paddock-experts-{stage}")) for stage in range(stages)),
        )
