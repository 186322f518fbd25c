"""A node that leads nothing (`paddock serve --headless`): it finds the leader, runs its own ranks, and shares their fate.

Torch-free. It ends with 0 only when it was told to stop and the leader has stopped; any other end is a failure, so that
whoever started it starts it again.
"""

import logging
import os
import signal
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import zmq

from paddock import __version__
from paddock.engine.distributed.control_link import ControlLink, LeaderLostError, RefusedError
from paddock.engine.distributed.group_secret import group_secret
from paddock.engine.distributed.messages import Join
from paddock.engine.distributed.rank_child import RankCall, RankChildren
from paddock.engine.distributed.shared_arguments import shared_arguments
from paddock.engine.distributed.sockets import Context, local_address_towards, resolve, tcp
from paddock.engine.distributed.topology import Topology
from paddock.engine.distributed.vitality import STARTING_PATIENCE_SECONDS
from paddock.engine.models.shape import ModelShape

if TYPE_CHECKING:
    from paddock.engine.config import ServeConfig

logger = logging.getLogger("paddock.engine.follower")

FAILED = 1
PARTING_SECONDS = 3.0


class Follower:
    """Runs once, in the main thread; `run` returns the exit status."""

    def __init__(
        self, config: "ServeConfig", shape: ModelShape, path: Path, secret: str, drain_seconds: float
    ) -> None:
        """After a signal to stop, the ranks go on for the leader's drain, `drain_seconds` at most."""
        self._config, self._path, self._secret = config, path, secret
        self._topology = Topology.of(config)
        self._drain_seconds = drain_seconds
        self._join = Join(
            self._topology.member_number,
            None,
            __version__,
            shared_arguments(config, shape),
            socket.gethostname(),
            os.getpid(),
        )
        self._context: Context = zmq.Context()
        self._link = ControlLink(self._context, f"node-{self._topology.member_number}", secret)
        self._leader = ""
        self._stop_asked: float | None = None

    def run(self) -> int:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        try:
            return self._follow()
        except (RefusedError, LeaderLostError) as error:
            logger.error("node %d ends: %s", self._topology.member_number, error)
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
        assert self._topology.master_addr is not None, "checked with the sizes"
        self._leader = resolve(self._topology.master_addr)
        return tcp(self._leader, self._config.parallel.master_port)

    def _follow(self) -> int:
        welcome = self._link.join(
            self._locate, self._join, STARTING_PATIENCE_SECONDS, lambda: self._stop_asked is not None
        )
        if welcome is None:
            return 0
        logger.info("the leader at %s takes node %d in", self._leader, self._topology.member_number)
        call = RankCall(
            tcp(self._leader, self._config.parallel.master_port),
            local_address_towards(self._leader),
            self._path,
            self._config,
            self._secret,
        )
        children = RankChildren(call, self._topology.local_ranks)
        try:
            return self._attend(children)
        finally:
            children.wait(PARTING_SECONDS)

    def _attend(self, children: RankChildren) -> int:
        """Until the leader, a rank or the patience ends."""
        while True:
            farewell = self._link.watch()
            if farewell is not None:
                return self._part(farewell.reason)
            dead = children.dead()
            if dead is not None:
                return self._fail(dead)
            if self._stop_asked is not None and time.monotonic() - self._stop_asked > self._drain_seconds:
                return self._fail("was told to stop, and the leader goes on")

    def _part(self, reason: str | None) -> int:
        if reason is None and self._stop_asked is not None:
            logger.info("the leader has stopped")
            return 0
        logger.error("node %d ends: %s", self._topology.member_number, reason or "the leader has stopped")
        return FAILED

    def _fail(self, reason: str) -> int:
        logger.error("node %d ends: %s", self._topology.member_number, reason)
        self._link.part(reason)
        return FAILED


def follow(
    config: "ServeConfig", shape: ModelShape, path: Path, environ: Mapping[str, str], drain_seconds: float
) -> int:
    """Follow the leader to the end; the exit status. Raises `SettingsError` when the environment lacks the secret."""
    secret = group_secret(environ, Topology.of(config, environ))
    assert secret is not None, "a follower has a leader on another node: checked with the sizes"
    return Follower(config, shape, path, secret, drain_seconds).run()
