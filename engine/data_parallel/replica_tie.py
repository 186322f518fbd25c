"""What ties the replicas of a node that share their experts: descriptors that their processes inherit. Torch-free.

Nothing of it has a name, so that nothing is left of it however the processes end.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import msgspec

from paddock.engine.distributed.sockets import listening

if TYPE_CHECKING:
    from paddock.engine.config import ServeConfig

VARIABLE = "PADDOCK_REPLICA_TIE"
"""Set for the processes of engines by the command that starts them, and by nobody else."""

LOOPBACK = "127.0.0.1"


class ReplicaTie(msgspec.Struct, frozen=True):
    board: int
    """Memory with the number of steps that each replica of the node has begun, and those elsewhere where there are some."""
    bells: tuple[int, ...]
    """An eventfd(2) for each of these, rung when another begins a step."""
    experts: tuple[int, ...]
    """Memory of each pipeline stage that its ranks of all replicas share; none where they are to use sockets."""
    first: int
    """Number of the node's first replica among those of all nodes."""
    replicas: int
    """Of all nodes."""
    host: str
    """The address at which ranks of other nodes reach those of this one; the loopback's where there are no others."""
    store: tuple[str, int] | None = None
    """Where ranks find each other that do not share memory; None until the node that listens there has said so."""
    listener: int | None = None
    """A socket that listens there, on the node of the first replica of all."""

    @staticmethod
    def of(environ: Mapping[str, str]) -> "ReplicaTie | None":
        """None where replicas have nothing to do with each other."""
        text = environ.get(VARIABLE)
        return msgspec.json.decode(text, type=ReplicaTie) if text else None

    def as_environ(self) -> dict[str, str]:
        return {VARIABLE: msgspec.json.encode(self).decode()}

    def meeting_at(self, store: tuple[str, int]) -> "ReplicaTie":
        return msgspec.structs.replace(self, store=store)

    @property
    def descriptors(self) -> tuple[int, ...]:
        """All, for whoever starts a process that is to inherit them."""
        return self.board, *self.bells, *self.experts, *([] if self.listener is None else [self.listener])


def shares_experts(config: "ServeConfig") -> bool:
    """Whether the replicas of this configuration compute each other's tokens."""
    return config.parallel.enable_expert_parallel and config.parallel.data_parallel_size > 1


@contextmanager
def opened_tie(
    config: "ServeConfig", local: range | None = None, host: str = LOOPBACK
) -> Iterator[ReplicaTie | None]:
    """While the replicas `local`, all without it, are started; where others are at other nodes, as long as they run.

    None where replicas do not share experts. Raises `OSError`.
    """
    if not shares_experts(config):
        yield None
        return
    parallel, replicas = config.parallel, config.parallel.data_parallel_size
    here = range(replicas) if local is None else local
    are_apart = len(here) < replicas
    stages = 0 if parallel.disable_custom_all_reduce or are_apart else parallel.pipeline_parallel_size
    with ExitStack() as opened:

        def keep(descriptor: int) -> int:
            opened.callback(os.close, descriptor)
            return descriptor

        listener = opened.enter_context(listening(host)) if 0 in here else None
        yield ReplicaTie(
            keep(os.memfd_create("paddock-board")),
            tuple(keep(os.eventfd(0, os.EFD_NONBLOCK)) for _ in range(len(here) + are_apart)),
            tuple(keep(os.memfd_create(f"paddock-experts-{stage}")) for stage in range(stages)),
            here.start,
            replicas,
            host,
            None if listener is None else listener.getsockname()[:2],
            None if listener is None else listener.fileno(),
        )
