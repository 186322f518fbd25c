"""The engines that one command runs, each in a process of its own, or in a thread. Torch-free."""

import socket
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from paddock.engine.data_parallel.replica_tie import ReplicaTie, opened_tie
from paddock.engine.distributed.node_share import NodeShare
from paddock.engine.launch import STOP_SECONDS, Engine, EngineProcess

if TYPE_CHECKING:
    from paddock.engine.config import ServeConfig


class Engines:
    """They end together: when one is lost, so are all."""

    def __init__(self, engines: Mapping[int, Engine], are_numbered: bool) -> None:
        """By data-parallel rank, which errors name when the engines `are_numbered`: there is more than one."""
        self._engines = dict(engines)
        self._are_numbered = are_numbered

    @classmethod
    def start(
        cls,
        config: "ServeConfig",
        path: Path,
        ranks: range,
        doors: Mapping[int, socket.socket] | None = None,
        tie: ReplicaTie | None = None,
    ) -> "Engines":
        """Start them all and return at once. With `doors` each listens at its own, a TCP socket, which is closed here.

        Those that share experts with other nodes need the `tie` of this one; those that are alone get one here.
        Raises `OSError` when a process cannot be started.
        """
        engines = cls({}, config.parallel.data_parallel_size > 1)
        try:
            with opened_tie(config) if tie is None else nullcontext(tie) as opened:
                for index, rank in enumerate(ranks):
                    share, door = NodeShare(index, len(ranks), opened), (doors or {}).get(rank)
                    engines._engines[rank] = EngineProcess.start(config, path, share, door)
        except BaseException:
            engines.stop()
            raise
        return engines

    def addresses(self) -> dict[int, str]:
        """Where to reach each, by data-parallel rank."""
        return {rank: engine.address for rank, engine in self._engines.items()}

    def failure(self) -> str | None:
        """Which has ended or is about to, and why, in words for the user; None while all run."""
        for rank, engine in self._engines.items():
            code, reason = engine.poll(), engine.failure()
            if reason is not None or code is not None:
                reason = reason or f"the engine ended with status {code}"
                return f"data-parallel rank {rank}: {reason}" if self._are_numbered else reason
        return None

    def retire(self) -> bool:
        """Nothing is asked of them here any more: whether nobody else needs them, either. Ask again until so."""
        return True

    def stop(self, timeout: float = STOP_SECONDS) -> None:
        """End them all at once, by force after `timeout` seconds. Safe to call twice."""
        for engine in self._engines.values():
            engine.ask_to_stop()
        for engine in self._engines.values():
            engine.stop(timeout)
