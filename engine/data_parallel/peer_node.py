"""A node with an API of its own whose replicas share experts with those of other nodes: it joins the first. Torch-free."""

import math
import threading
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from paddock.engine.data_parallel.node import EngineCrew
from paddock.engine.data_parallel.replicas import meeting_place
from paddock.engine.distributed.follower import Follower
from paddock.engine.distributed.group_secret import required_secret
from paddock.engine.launch import STOP_SECONDS
from paddock.engine.models.shape import ModelShape

if TYPE_CHECKING:
    from paddock.engine.config import ServeConfig


class PeerNode:
    """A thread of its own keeps in touch with the leader, starts the engines when all nodes are there, and tells steps."""

    def __init__(self, config: "ServeConfig", path: Path, environ: Mapping[str, str]) -> None:
        """Raises `SettingsError` without the group's secret."""
        secret, self._opened = required_secret(environ), ExitStack()
        self._crew = EngineCrew(config, ModelShape.read(path, config.model), path, self._opened)
        # How long it outlasts its own API is for the server to say, which stops it.
        self._follower = Follower(self._crew, meeting_place(config), secret, drain_seconds=math.inf)
        self._failure: str | None = "the link to the other nodes has ended; the log above has the cause"
        self._thread = threading.Thread(target=self._follow, name="peer node", daemon=True)
        self._thread.start()

    def addresses(self) -> dict[int, str] | None:
        """Where to reach each engine of this node, by data-parallel rank; None while nodes are missing."""
        return None if self._crew.engines is None else self._crew.engines.addresses()

    def failure(self) -> str | None:
        """Which engine or node is lost, and why, in words for the user; None while all are there."""
        return None if self._thread.is_alive() else self._failure

    def retire(self) -> bool:
        """See `Engines.retire`: other nodes may still need the experts of these engines, until the leader ends."""
        self._follower.leave()
        return not self._thread.is_alive() and self._failure is None

    def stop(self, timeout: float = STOP_SECONDS) -> None:
        """Leave the group, which is a loss to those who have not left, and end the engines. Safe to call twice."""
        self._follower.leave_now()
        self._thread.join()
        self._follower.close(timeout)
        self._opened.close()

    def _follow(self) -> None:
        try:
            self._failure = self._follower.follow()
        except OSError as error:
            self._failure = f"the engines cannot be started: {error}"
