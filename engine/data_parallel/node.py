"""What a node of replicas runs that joins another, and the one that does nothing else (`paddock serve --headless`).

Torch-free.
"""

import os
import socket
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from paddock import __version__
from paddock.engine.data_parallel.engines import Engines
from paddock.engine.data_parallel.replica_tie import ReplicaTie, opened_tie, shares_experts
from paddock.engine.data_parallel.replicas import Replicas, meeting_place
from paddock.engine.data_parallel.step_relay import StepRelay
from paddock.engine.distributed.follower import Follower, Welcomed
from paddock.engine.distributed.group_secret import required_secret
from paddock.engine.distributed.messages import Join, rank_names
from paddock.engine.distributed.shared_arguments import shared_arguments
from paddock.engine.distributed.sockets import listening, local_address_towards, tcp
from paddock.engine.models.shape import ModelShape

if TYPE_CHECKING:
    from paddock.engine.config import ServeConfig


class EngineCrew:
    """Implements `Crew`: engines. Of a headless node they listen at its address towards the leader, and nowhere else."""

    def __init__(self, config: "ServeConfig", shape: ModelShape, path: Path, opened: ExitStack) -> None:
        """`opened` is closed when the node ends."""
        self._opened = opened
        self._config, self._shape, self._path = config, shape, path
        self._ranks = Replicas.of(config).local
        self._doors: dict[int, socket.socket] = {}
        self._tie: ReplicaTie | None = None
        self._relay: StepRelay | None = None
        self.engines: Engines | None = None
        """Once they are started."""

    @property
    def name(self) -> str:
        return f"the node of data-parallel {rank_names(self._ranks)}"

    @property
    def member(self) -> str:
        return f"engines-{self._ranks.start}"

    def join(self, leader: str) -> Join:
        host = local_address_towards(leader)
        if self._config.service.headless:
            self._doors = {rank: listening(host) for rank in self._ranks}
        addresses = {rank: tcp(*door.getsockname()[:2]) for rank, door in self._doors.items()}
        self._tie = self._opened.enter_context(opened_tie(self._config, self._ranks, host))
        self._relay = StepRelay(self._tie) if self._tie else None
        return Join(
            self._ranks.start,
            None,
            __version__,
            shared_arguments(self._config, self._shape),
            socket.gethostname(),
            os.getpid(),
            dict.fromkeys(self._ranks, "") | addresses,
            None if self._tie is None else self._tie.store,
        )

    @property
    def needs_all(self) -> bool:
        """Engines that share experts have to find each other when they start."""
        return shares_experts(self._config)

    @property
    def relay(self) -> StepRelay | None:
        """See `Crew`."""
        return self._relay

    def start(self, welcomed: Welcomed) -> Engines:
        """See `Crew`."""
        tie = self._tie and welcomed.store and self._tie.meeting_at(welcomed.store)
        self.engines = Engines.start(self._config, self._path, self._ranks, self._doors, tie)
        return self.engines


def follow_head(
    config: "ServeConfig", shape: ModelShape, path: Path, environ: Mapping[str, str], drain_seconds: float
) -> int:
    """Run this node's replicas to the head's end; the exit status. Raises `SettingsError` without the secret."""
    secret = required_secret(environ)
    with ExitStack() as opened:
        crew = EngineCrew(config, shape, path, opened)
        return Follower(crew, meeting_place(config), secret, drain_seconds).run()
