"""Starting the engine core in a process of its own, and knowing what became of it."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import MutableMapping
from pathlib import Path
from typing import IO, Protocol

import msgspec

from paddock.engine.config import ServeConfig
from paddock.engine.distributed.node_share import NodeShare
from paddock.engine.distributed.sockets import tcp
from paddock.engine.private_folder import private_folder

STOP_SECONDS = 10.0
LONGEST_REASON_BYTES = 8192
SECRETS = {"frontend": {"api_key"}, "model": {"hf_token"}}
"""What the engine has no use for and is therefore not told."""


class Engine(Protocol):
    """An engine core that was started, in a process or a thread of its own."""

    @property
    def address(self) -> str:
        """Where the core's ROUTER is bound."""

    def poll(self) -> int | None:
        """The exit code; None while the engine runs."""

    def failure(self) -> str | None:
        """Why the engine ended or is about to, in words for the user; None while it serves and after a stop that was asked
        for."""

    def ask_to_stop(self) -> None:
        """Order the end, and do not wait for it."""

    def stop(self, timeout: float = STOP_SECONDS) -> None:
        """End the engine and remove its socket, within `timeout` seconds if it can be forced. Safe to call twice."""


class EngineProcess:
    """A running engine core. The process ends with `stop`, or with this one; whichever comes first."""

    def __init__(self, folder: Path, share: NodeShare, door: socket.socket | None) -> None:
        """Use `start`."""
        self._folder, self._share, self._door = folder, share, door
        self._address = f"ipc://{folder}/engine" if door is None else tcp(*door.getsockname()[:2])
        self._process: subprocess.Popen[bytes] | None = None
        self._launch_error: OSError | None = None
        self._launched = threading.Event()
        self._reason = ""
        self._was_asked_to_stop = False
        self._ended = threading.Event()

    @classmethod
    def start(
        cls,
        config: ServeConfig,
        model_path: Path,
        share: NodeShare = NodeShare(),
        door: socket.socket | None = None,
    ) -> "EngineProcess":
        """Start loading the model and return at once; the engine says Ready at `address` when it can serve.

        `share` is its part of this node. With a `door`, a listening TCP socket, it serves whoever knows the group's
        secret; this process closes its copy of the door.
        Raises `OSError` when no process can be started.
        """
        engine = cls(private_folder(), share, door)
        # The kernel ties a child's life to the thread that started it, so that thread must live as long as the child.
        threading.Thread(target=engine._attend, args=(config, model_path), name="engine", daemon=True).start()
        engine._launched.wait()
        if engine._launch_error is not None:
            raise engine._launch_error
        return engine

    @property
    def address(self) -> str:
        """Where the core's ROUTER is bound."""
        return self._address

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def _child(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("the engine process has not been started: use EngineProcess.start")
        return self._process

    def poll(self) -> int | None:
        """The exit code, negative for a signal; None while the process runs."""
        return self._child.returncode if self._ended.is_set() else None

    def wait(self, timeout: float | None = None) -> int | None:
        """Wait for the end; returns as `poll` does."""
        self._ended.wait(timeout)
        return self.poll()

    def failure(self) -> str | None:
        """See `Engine`."""
        code = self.poll()
        if code == 0 or self._was_asked_to_stop:
            return None
        if self._reason:
            return self._reason
        if code is None:
            return None
        if code == -signal.SIGKILL:
            return "the engine process was killed (SIGKILL), most often because the memory limit was reached"
        if code < 0:
            return f"the engine process was ended by {signal.Signals(-code).name}"
        return f"the engine process ended with exit code {code}; its log above has the cause"

    def ask_to_stop(self) -> None:
        """Order the end, and do not wait for it."""
        self._was_asked_to_stop = self.poll() is None or self._was_asked_to_stop
        if self._child.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._child.stdin.close()

    def stop(self, timeout: float = STOP_SECONDS) -> None:
        """End the process, by force after `timeout` seconds, and remove its socket. Safe to call twice."""
        self.ask_to_stop()
        if self.wait(timeout) is None:
            self._child.kill()
            self._ended.wait()

    def _attend(self, config: ServeConfig, model_path: Path) -> None:
        """Start the child, then read its last words and its exit code."""
        reading, writing = os.pipe()
        try:
            order = _order(self._address, config, model_path, self._door)
            self._process = _spawn(order, self._share, writing, self._door)
        except OSError as error:
            self._launch_error = error
        finally:
            os.close(writing)
            if self._door is not None:
                self._door.close()
            self._launched.set()
        with open(reading, "rb", buffering=0) as reasons:
            if self._process is not None:
                self._hear(reasons)
                self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)
        self._ended.set()

    def _hear(self, reasons: IO[bytes]) -> None:
        """Until the child closes its end. What it says is known at once, the first part of it kept."""
        text = b""
        while part := reasons.read(LONGEST_REASON_BYTES):
            text = (text + part)[:LONGEST_REASON_BYTES]
            self._reason = text.decode(errors="replace").strip()


def without_spinning(environ: MutableMapping[str, str]) -> None:
    """Spinning OpenMP threads starve the server, and each other where pods share cores. Before torch is loaded."""
    environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def _spawn(
    order: bytes, share: NodeShare, reason_descriptor: int, door: socket.socket | None
) -> subprocess.Popen[bytes]:
    environ = {name: value for name, value in os.environ.items() if name != "PADDOCK_API_KEY"}
    environ |= share.as_environ()
    without_spinning(environ)
    descriptors = [reason_descriptor, *share.descriptors, *([] if door is None else [door.fileno()])]
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "paddock.engine.core_process", str(reason_descriptor)],
        stdin=subprocess.PIPE,
        pass_fds=descriptors,
        env=environ,
        # Ctrl-C in a terminal goes to the server alone, which drains first.
        start_new_session=True,
    )
    assert process.stdin is not None
    # A child that is gone before it has read its order says why by its exit code.
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(order + b"\n")
        process.stdin.flush()
    return process


def _order(address: str, config: ServeConfig, model_path: Path, door: socket.socket | None) -> bytes:
    """The child's `LaunchOrder`, in one line."""
    config_json = config.model_dump_json(exclude=SECRETS, exclude_defaults=True)
    order = {
        "address": address,
        "model_path": str(model_path),
        "parent_pid": os.getpid(),
        "config": msgspec.Raw(config_json.encode()),
        "door": None if door is None else door.fileno(),
    }
    return msgspec.json.encode(order)
