"""Several API server processes in front of one engine (--api-server-count)."""

import asyncio
import contextlib
import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from paddock.engine.config import ServeConfig
from paddock.engine.config.environment import is_on
from paddock.server.listener import Listeners
from paddock.server.metrics import SHARED_FOLDER_VARIABLE
from paddock.server.orders import Drain, EngineLost, Order, ServeOrder, StopNow, line
from paddock.server.startup import StartError

logger = logging.getLogger("paddock.server")
POLL_SECONDS = 0.1
STOP_SECONDS = 15.0
"""After an order to end at once, or the loss of the engine: what is still there is then killed."""


class Fleet:
    """The API servers live and end together: when one is lost, the others finish their requests and end, too."""

    def __init__(self, processes: Sequence[subprocess.Popen[bytes]]) -> None:
        """Use `start`."""
        self._processes = list(processes)
        self._status = 0
        self._is_ending = False
        self._kill_at: float | None = None

    @classmethod
    def start(
        cls,
        config: ServeConfig,
        model_path: Path,
        listeners: Listeners,
        engine_addresses: dict[int, str],
        metrics_folder: Path,
    ) -> "Fleet":
        """Start them all. They listen once the engine can serve. Raises StartError."""
        fleet = cls([])
        config_json = config.model_dump_json(exclude={"model": {"hf_token"}}, exclude_defaults=True)
        created, count = int(time.time()), len(listeners.sockets)
        try:
            for index, listener in enumerate(listeners.sockets):
                order = ServeOrder(
                    str(model_path), engine_addresses, listener.fileno(), os.getpid(), index, count, created,
                    msgspec.Raw(config_json.encode()),
                )  # fmt: skip
                fleet._processes.append(_spawn(order, listener, metrics_folder))
        except OSError as error:
            fleet.kill()
            raise StartError(f"the API servers cannot be started: {error}.") from error
        # Ours would go on taking connections that nobody answers. The file of a Unix socket stays until the end.
        for listener in listeners.sockets:
            listener.close()
        return fleet

    def drain(self) -> None:
        self._is_ending = True
        self._tell(Drain())

    def stop_now(self, status: int) -> None:
        self._status = status
        self._end_soon(StopNow(status))

    def fail(self, reason: str) -> None:
        """The engine is lost."""
        logger.error("the engine is lost: %s", reason)
        self._status = 1
        if is_on(os.environ, "KEEP_ALIVE_ON_ENGINE_DEATH"):
            self._tell(EngineLost(reason))
        else:
            self._end_soon(EngineLost(reason))

    async def run(self) -> int:
        """Until every API server has ended; the exit status."""
        while running := [process for process in self._processes if process.poll() is None]:
            if not self._is_ending and len(running) < len(self._processes):
                self._on_loss()
            if self._kill_at is not None and time.monotonic() > self._kill_at:
                self.kill()
            await asyncio.sleep(POLL_SECONDS)
        if not self._is_ending:
            self._on_loss()
        return self._status

    def kill(self) -> None:
        """End what is left by force."""
        for process in self._processes:
            if process.poll() is None:
                process.kill()
                process.wait()

    def _on_loss(self) -> None:
        for index, process in enumerate(self._processes):
            if process.poll() is not None:
                logger.error(
                    "API server %d of %d ended with status %d and its requests with it; the others finish theirs, "
                    "and then all end", index + 1, len(self._processes), process.returncode,
                )  # fmt: skip
        self._status = 1
        self.drain()

    def _end_soon(self, order: Order) -> None:
        self._is_ending = True
        self._kill_at = time.monotonic() + STOP_SECONDS
        self._tell(order)

    def _tell(self, order: Order) -> None:
        for process in self._processes:
            _write(process, line(order))


def _spawn(order: ServeOrder, listener: socket.socket, metrics_folder: Path) -> subprocess.Popen[bytes]:
    environ = {
        **os.environ,
        # The metrics library looks for this variable when it is imported; its files hold the totals of all processes.
        SHARED_FOLDER_VARIABLE: str(metrics_folder),
        # What this process can import (a middleware, say), they can.
        "PYTHONPATH": os.pathsep.join(folder or os.getcwd() for folder in sys.path),
    }
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "paddock.server.api_process"],
        stdin=subprocess.PIPE,
        pass_fds=[listener.fileno()],
        env=environ,
        # Ctrl-C in a terminal goes to the first process alone, which tells the others to drain.
        start_new_session=True,
    )
    _write(process, line(order))
    return process


def _write(process: subprocess.Popen[bytes], text: bytes) -> None:
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):  # it is gone, which its exit code tells
        process.stdin.write(text)
        process.stdin.flush()
