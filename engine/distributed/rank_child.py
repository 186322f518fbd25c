"""Starting the processes of this node's ranks, and knowing what became of them. Torch-free."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from paddock.engine.config import ServeConfig
from paddock.engine.distributed.node_share import NodeShare
from paddock.engine.distributed.shared_segments import Inherited, SharedSegments
from paddock.engine.distributed.topology import Topology
from paddock.engine.launch import SECRETS, without_spinning


class RankOrder(msgspec.Struct):
    """What a rank's process is told, in one line on its standard input. The configuration carries no secret."""

    rank: int
    control_address: str
    own_host: str
    """The address at which the other ranks reach this one, and the only one that it listens at."""
    model_path: str
    parent_pid: int
    config: msgspec.Raw
    group_secret: str | None = None
    inherited: Inherited = msgspec.field(default_factory=Inherited)


@dataclass(frozen=True)
class RankCall:
    """What is the same for every rank of a node."""

    control_address: str
    own_host: str
    model_path: Path
    config: ServeConfig
    group_secret: str | None

    def order(self, rank: int, inherited: Inherited) -> RankOrder:
        config_json = self.config.model_dump_json(exclude=SECRETS, exclude_defaults=True)
        return RankOrder(
            rank,
            self.control_address,
            self.own_host,
            str(self.model_path),
            os.getpid(),
            msgspec.Raw(config_json.encode()),
            self.group_secret,
            inherited,
        )


class RankChildren:
    """The processes of a node's ranks. The kernel ends them with the thread that made this object."""

    def __init__(self, call: RankCall, ranks: Sequence[int]) -> None:
        """Raises `OSError` when no process can be started."""
        self._lock = threading.Lock()
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        try:
            with SharedSegments(call.config, Topology.of(call.config)) as segments:
                for rank in ranks:
                    self._processes[rank] = _spawn(call.order(rank, segments.of(rank)))
        except BaseException:
            self.kill()
            raise

    def failure(self) -> str | None:
        """Which of them has ended, and how, in words; None while all run."""
        for rank, process in self._processes.items():
            with self._lock:
                code = process.poll()
            if code is not None:
                return f"rank {rank} (pid {process.pid}) {_ending(code)}"
        return None

    def stop(self, timeout: float) -> None:
        """Until all have ended; those that have not within `timeout` seconds are killed, stopped ones too."""
        deadline = time.monotonic() + timeout
        for process in self._processes.values():
            with contextlib.suppress(subprocess.TimeoutExpired), self._lock:
                process.wait(max(0.0, deadline - time.monotonic()))
        self.kill()

    def kill(self) -> None:
        for process in self._processes.values():
            with self._lock:
                process.kill()
                process.wait()
                if process.stdin is not None and not process.stdin.closed:
                    process.stdin.close()


def _ending(code: int) -> str:
    if code == -signal.SIGKILL:
        return "was killed (SIGKILL), most often because the memory limit was reached"
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended with exit code {code}; its log above has the cause"


def _spawn(order: RankOrder) -> subprocess.Popen[bytes]:
    environ = {
        name: value
        for name, value in os.environ.items()
        if name not in ("PADDOCK_API_KEY", "PADDOCK_GROUP_SECRET")
    }
    without_spinning(environ)
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "paddock.engine.distributed.rank_process"],
        stdin=subprocess.PIPE,
        env=environ,
        pass_fds=(*order.inherited.descriptors, *NodeShare.of(environ).descriptors),
        # Ctrl-C in a terminal goes to the server alone, which drains first.
        start_new_session=True,
    )
    assert process.stdin is not None
    # A child that is gone before it has read its order says why by its exit code.
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(msgspec.json.encode(order) + b"\n")
        process.stdin.flush()
    return process
