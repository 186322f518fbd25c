"""A node that leads nothing (`paddock serve --headless`): it finds the leader, runs its own crew, and shares their fate.

Torch-free. It ends with 0 only when it was told to stop and the leader has stopped; any other end is a failure, so that
whoever started it starts it again.
"""

import logging
import os
import signal
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import zmq

from paddock import __version__
from paddock.engine.data_parallel.step_relay import StepRelay
from paddock.engine.distributed.control_link import ControlLink, LeaderLostError, RefusedError
from paddock.engine.distributed.group_secret import group_secret
from paddock.engine.distributed.messages import Join
from paddock.engine.distributed.rank_child import RankCall, RankChildren
from paddock.engine.distributed.shared_arguments import shared_arguments
from paddock.engine.distributed.sockets import Context, local_address_towards, resolve, tcp
from paddock.engine.distributed.topology import Topology
from paddock.engine.distributed.vitality import BEAT_SECONDS, STARTING_PATIENCE_SECONDS
from paddock.engine.models.shape import ModelShape

if TYPE_CHECKING:
    from paddock.engine.config import ServeConfig

logger = logging.getLogger("paddock.engine.follower")

FAILED = 1
PARTING_SECONDS = 3.0


class Children(Protocol):
    """The processes of a crew."""

    def failure(self) -> str | None:
        """Which of them has ended, and how, in words; None while all run."""

    def stop(self, timeout: float) -> None:
        """Until all have ended; those that have not within `timeout` seconds are killed."""


@dataclass(frozen=True, slots=True)
class Welcomed:
    """What a node knows when it starts its crew."""

    leader: str
    """The leader's IP address."""
    store: tuple[str, int] | None
    """See `Beat`."""


class Crew(Protocol):
    """What a node runs for its leader."""

    @property
    def name(self) -> str:
        """In logs and errors."""

    @property
    def member(self) -> str:
        """The name on the control socket, unique in the group."""

    def join(self, leader: str) -> Join:
        """What the leader, at this IP address, is told. Called once."""

    @property
    def needs_all(self) -> bool:
        """Whether it is started when all nodes are there, rather than as soon as the leader takes this one in."""

    @property
    def relay(self) -> StepRelay | None:
        """How its steps and those of other nodes are told; asked for after `join`."""

    def start(self, welcomed: Welcomed) -> Children:
        """Raises `OSError` when no process can be started."""


class Follower:
    """Runs once, in the main thread; `run` returns the exit status."""

    def __init__(self, crew: Crew, place: tuple[str, int], secret: str, drain_seconds: float) -> None:
        """`place` is the leader's host and port. After a signal to stop, the crew goes on for the leader's drain,
        `drain_seconds` at most."""
        self._crew, self._place = crew, place
        self._drain_seconds = drain_seconds
        self._context: Context = zmq.Context()
        self._link = ControlLink(self._context, crew.member, secret)
        self._leader = ""
        self._stop_asked: float | None = None

    def run(self) -> int:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        try:
            return self._follow()
        except (RefusedError, LeaderLostError) as error:
            logger.error("%s ends: %s", self._crew.name, error)
            return FAILED
        finally:
            self._link.close()
            self._context.term()

    def _on_signal(self, number: int, frame: object) -> None:
        if self._stop_asked is None:
            self._stop_asked = time.monotonic()
            logger.info("stopping with the leader, which lets running requests finish first")
        else:
            self._drain_seconds = 0.0

    def _locate(self) -> str:
        host, port = self._place
        self._leader = resolve(host)
        return tcp(self._leader, port)

    def _is_told_to_stop(self) -> bool:
        return self._stop_asked is not None

    def _find(self, patience_seconds: float) -> None:
        """Until the leader's name has an address: what a crew says of itself depends on the way there."""
        deadline = time.monotonic() + patience_seconds
        while not self._is_told_to_stop():
            try:
                self._locate()
                return
            except OSError as error:
                if time.monotonic() > deadline:
                    raise LeaderLostError(f"the leader's address is still not known: {error}") from error
                logger.info("the leader's address is not known yet: %s", error)
                time.sleep(BEAT_SECONDS)

    def _follow(self) -> int:
        started = time.monotonic()
        self._find(STARTING_PATIENCE_SECONDS)
        if self._is_told_to_stop():
            return 0
        join, patience = self._crew.join(self._leader), STARTING_PATIENCE_SECONDS - time.monotonic() + started
        if self._link.join(self._locate, join, patience, self._is_told_to_stop) is None:
            return 0
        logger.info("the leader at %s takes %s in", self._leader, self._crew.name)
        if self._crew.needs_all and (status := self._wait_for_all()) is not None:
            return status
        children = self._crew.start(Welcomed(self._leader, self._link.store))
        try:
            return self._attend(children)
        finally:
            children.stop(PARTING_SECONDS)

    def _wait_for_all(self) -> int | None:
        """Until the leader says that all nodes are there; the exit status when that does not come to be."""
        while self._link.store is None:
            farewell = self._link.watch()
            if farewell is not None:
                return self._part(farewell.reason)
            if self._stop_asked is not None:
                self._link.part("it was told to stop")
                return 0
        return None

    def _attend(self, children: Children) -> int:
        """Until the leader, a child or the patience ends."""
        while True:
            farewell = self._link.watch(relay=self._crew.relay)
            if farewell is not None:
                return self._part(farewell.reason)
            dead = children.failure()
            if dead is not None:
                return self._fail(dead)
            if self._stop_asked is not None and time.monotonic() - self._stop_asked > self._drain_seconds:
                return self._fail("was told to stop, and the leader goes on")

    def _part(self, reason: str | None) -> int:
        if reason is None and self._stop_asked is not None:
            logger.info("the leader has stopped")
            return 0
        logger.error("%s ends: %s", self._crew.name, reason or "the leader has stopped")
        return FAILED

    def _fail(self, reason: str) -> int:
        logger.error("%s ends: %s", self._crew.name, reason)
        self._link.part(reason)
        return FAILED


class RankCrew:
    """Implements `Crew`: this node's ranks of an engine that spans nodes."""

    def __init__(self, config: "ServeConfig", shape: ModelShape, path: Path, secret: str) -> None:
        self._config, self._shape, self._path, self._secret = config, shape, path, secret
        self._topology = Topology.of(config)

    @property
    def name(self) -> str:
        return f"node {self._topology.member_number}"

    @property
    def member(self) -> str:
        return f"node-{self._topology.member_number}"

    def join(self, leader: str) -> Join:
        """See `Crew`."""
        return Join(
            self._topology.member_number,
            None,
            __version__,
            shared_arguments(self._config, self._shape),
            socket.gethostname(),
            os.getpid(),
        )

    @property
    def needs_all(self) -> bool:
        """Ranks wait for each other by themselves."""
        return False

    @property
    def relay(self) -> None:
        """All ranks get the same orders."""

    def start(self, welcomed: Welcomed) -> RankChildren:
        """See `Crew`."""
        leader = welcomed.leader
        control = tcp(leader, self._config.parallel.master_port)
        call = RankCall(control, local_address_towards(leader), self._path, self._config, self._secret)
        return RankChildren(call, self._topology.local_ranks)


def follow(
    config: "ServeConfig", shape: ModelShape, path: Path, environ: Mapping[str, str], drain_seconds: float
) -> int:
    """Follow the leader to the end; the exit status. Raises `SettingsError` when the environment lacks the secret."""
    topology = Topology.of(config, environ)
    secret = group_secret(environ, topology)
    assert secret is not None, "checked with the sizes"
    assert topology.master_addr is not None, "checked with the sizes"
    place = topology.master_addr, config.parallel.master_port
    return Follower(RankCrew(config, shape, path, secret), place, secret, drain_seconds).run()
