"""The node that other nodes of replicas join: its own engines, and the meeting place of theirs. Torch-free.

It serves the API for all replicas; where experts are shared and each node has an API of its own, for its own ones alone.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import zmq

from paddock.engine.data_parallel.engines import Engines
from paddock.engine.data_parallel.replica_tie import opened_tie
from paddock.engine.data_parallel.replicas import Replicas, meeting_place
from paddock.engine.data_parallel.step_relay import StepRelay
from paddock.engine.distributed.control_hub import ControlHub
from paddock.engine.distributed.group_secret import required_secret
from paddock.engine.distributed.meeting_place import meeting_socket
from paddock.engine.distributed.messages import Join, rank_names
from paddock.engine.distributed.shared_arguments import shared_arguments
from paddock.engine.distributed.sockets import Context
from paddock.engine.distributed.vitality import PROGRESS_SECONDS, STARTING_PATIENCE_SECONDS
from paddock.engine.launch import STOP_SECONDS
from paddock.engine.models.shape import ModelShape

if TYPE_CHECKING:
    from paddock.engine.config import ServeConfig

logger = logging.getLogger(__name__)


class Head:
    """Its nodes come in any order. Once all are there, the loss of one is the loss of all.

    Engines that share experts are started then, for they have to find each other; others at once.
    """

    def __init__(self, config: "ServeConfig", path: Path, environ: Mapping[str, str]) -> None:
        """Bind, and start what can be. Raises `SettingsError`, and `OSError` when no process can be started."""
        self._config, self._path, self._replicas = config, path, Replicas.of(config)
        self._context: Context = zmq.Context()
        address, port = meeting_place(config)
        control, host = meeting_socket(
            self._context,
            ("--data-parallel-address", address),
            ("--data-parallel-rpc-port", port),
            required_secret(environ),
        )
        self._opened = ExitStack()
        try:
            self._tie = self._opened.enter_context(opened_tie(config, self._replicas.local, host))
            self._engines = Engines({}, are_numbered=True) if self._tie else self._start()
        except OSError:
            self._opened.close()
            self._context.destroy(linger=0)
            raise
        arguments = shared_arguments(config, ModelShape.read(path, config.model))
        relay = StepRelay(self._tie) if self._tie else None
        self._hub = ControlHub(
            control, arguments, "", lambda: self._engines.failure(), self._objection, relay
        )
        self._remote: dict[int, str] | None = None
        self._started = self._progress = time.monotonic()
        self._own_failure: str | None = None

    def addresses(self) -> dict[int, str] | None:
        """Where to reach each engine that is served here, by data-parallel rank; None while nodes are missing."""
        if self._remote is None and not self._missing():
            self._hub.begin()
            # Whoever leaves from now on is a loss; one that left a moment ago is still waited for, in vain.
            if not self._missing():
                joined, served = self._joined(), self._replicas.served
                self._remote = {rank: address for rank, address in joined.items() if rank in served}
                self._hub.serve(self._begin_together())
        if self._remote is None:
            self._tell_progress(time.monotonic())
            return None
        return self._engines.addresses() | self._remote

    def failure(self) -> str | None:
        """Which engine or node is lost, and why, in words for the user; None while all are there."""
        return self._hub.failure or self._engines.failure() or self._own_failure

    def retire(self) -> bool:
        """See `Engines.retire`: nodes with an API of their own may still need the experts of these engines."""
        return self._replicas.served == self._replicas.together or self._hub.are_done

    def stop(self, timeout: float = STOP_SECONDS) -> None:
        """End this node's engines, and tell the other nodes to. Safe to call twice."""
        # First the farewell: an engine that ends before it would be told as a loss.
        self._hub.close()
        self._engines.stop(timeout)
        self._opened.close()
        self._context.term()

    def _start(self) -> Engines:
        return Engines.start(self._config, self._path, self._replicas.local, tie=self._tie)

    def _begin_together(self) -> tuple[str, int] | None:
        """Start engines that share experts, now that it is known where all find each other; that place."""
        if self._tie is None:
            return None
        told = (join.store for join in self._hub.joined if join.store is not None)
        store = self._tie.store or next(told, None)
        if store is None:
            return None  # its node has just left, as the hub will say
        self._tie = self._tie.meeting_at(store)
        try:
            self._engines = self._start()
        except OSError as error:
            self._own_failure = f"the engines cannot be started: {error}"
        return store

    def _joined(self) -> dict[int, str]:
        return {rank: address for join in self._hub.joined for rank, address in join.engines.items()}

    def _missing(self) -> frozenset[int]:
        return self._replicas.remote - frozenset(self._joined())

    def _tell_progress(self, now: float) -> None:
        waited, missing = now - self._started, rank_names(self._missing())
        if waited > STARTING_PATIENCE_SECONDS:
            self._own_failure = f"data-parallel {missing} did not come within {waited:.0f} s"
        elif now - self._progress > PROGRESS_SECONDS:
            self._progress = now
            logger.info("waiting for the nodes of data-parallel %s, %.0f s so far", missing, waited)

    def _objection(self, join: Join, others: Sequence[Join]) -> str | None:
        """Each replica is run by one node."""
        taken = {rank: other.name for other in others for rank in other.engines}
        taken |= dict.fromkeys(self._replicas.local, "the leader")
        for rank in join.engines:
            if rank in taken:
                return (
                    f"data-parallel rank {rank} is run by {taken[rank]} already: give every node a "
                    "--data-parallel-start-rank (or --data-parallel-rank) of its own, past the ranks of the others"
                )
        if not join.engines or not self._replicas.remote.issuperset(join.engines):
            return f"{join.name} does not run data-parallel {rank_names(self._replicas.remote)}, which belong here"
        return None
