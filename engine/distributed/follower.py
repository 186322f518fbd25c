"""A node that leads nothing: it finds the leader, runs its own crew, and shares their fate. Torch-free.

`paddock serve --headless` does nothing else. It ends with 0 only when it was told to stop and the leader has stopped; any
other end is a failure, so that whoever started it starts it again.
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
from paddock.engine.distributed.messages import Farewell, Join
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
    """Runs once: all there is in the main thread (`run`), or beside a server (`follow`, then `close`)."""

    def __init__(self, crew: Crew, place: tuple[str, int], secret: str, drain_seconds: float) -> None:
        """`place` is the leader's host and port. After the order to stop, the crew goes on for the leader's drain,
        `drain_seconds` at most."""
        self._crew, self._place = crew, place
        self._drain_seconds = drain_seconds
        self._context: Context = zmq.Context()
        self._link = ControlLink(self._context, crew.member, secret)
        self._leader = ""
        self._stop_asked: float | None = None
        self._children: Children | None = None

    def run(self) -> int:
        """The exit status. Signals order the stop, a second one at once."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        try:
            return 0 if self.follow() is None else FAILED
        finally:
            self.close(PARTING_SECONDS)

    def follow(self) -> str | None:
        """Until the group ends, or cannot be joined: why, in words; None after an orderly stop.

        The children run on until `close`. Raises `OSError` when they cannot be started.
        """
        try:
            reason = self._follow()
        except (RefusedError, LeaderLostError) as error:
            reason = str(error)
        if reason is not None:
            logger.error("%s ends: %s", self._crew.name, reason)
        return reason

    def leave(self) -> None:
        """Stop when the leader does, which hears that this node has nothing left to do of its own."""
        if self._stop_asked is None:
            self._stop_asked = time.monotonic()
            logger.info("stopping with the leader, which lets running requests finish first")

    def leave_now(self) -> None:
        """Stop whatever the leader does, which ends the group."""
        self._drain_seconds = 0.0
        self._stop_asked = self._stop_asked or time.monotonic()

    def close(self, timeout: float) -> None:
        """End the children, by force after `timeout` seconds. Not while `follow` runs. Safe to call twice."""
        if self._children is not None:
            self._children.stop(timeout)
        self._link.close()
        self._context.term()

    def _on_signal(self, number: int, frame: object) -> None:
        (self.leave if self._stop_asked is None else self.leave_now)()

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

    def _follow(self) -> str | None:
        started = time.monotonic()
        self._find(STARTING_PATIENCE_SECONDS)
        if self._is_told_to_stop():
            return None
        join, patience = self._crew.join(self._leader), STARTING_PATIENCE_SECONDS - time.monotonic() + started
        if self._link.join(self._locate, join, patience, self._is_told_to_stop) is None:
            return None
        logger.info("the leader at %s takes %s in", self._leader, self._crew.name)
        if self._crew.needs_all:
            farewell = self._wait_for_all()
            if farewell is not None:
                return self._part(farewell.reason)
            if self._link.store is None:
                self._link.part("it was told to stop")
                return None
        self._children = self._crew.start(Welcomed(self._leader, self._link.store))
        return self._attend(self._children)

    def _wait_for_all(self) -> Farewell | None:
        """Until the leader says that all nodes are there, or the order to stop comes; the leader's farewell before that."""
        while self._link.store is None and not self._is_told_to_stop():
            farewell = self._link.watch()
            if farewell is not None:
                return farewell
        return None

    def _attend(self, children: Children) -> str | None:
        """Until the leader, a child or the patience ends."""
        while True:
            farewell = self._link.watch(relay=self._crew.relay, is_done=self._is_told_to_stop())
            if farewell is not None:
                return self._part(farewell.reason)
            dead = children.failure()
            if dead is not None:
                return self._fail(dead)
            if self._stop_asked is not None and time.monotonic() - self._stop_asked > self._drain_seconds:
                return self._fail("was told to stop, and the leader goes on")

    def _part(self, reason: str | None) -> str | None:
        if reason is None and self._is_told_to_stop():
            logger.info("the leader has stopped")
            return None
        return reason or "the leader has stopped"

    def _fail(self, reason: str) -> str:
        self._link.part(reason)
        return reason


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
