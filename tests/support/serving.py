"""Servers of the tests' own, as processes: started, asked, stopped by their pids."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

ROOT = Path(__file__).resolve().parents[2]
TINY_MODEL = ROOT / "tests/models/tiny/model"
SMALL_CACHE = ("--num-gpu-blocks-override", "512")
START_SECONDS = 180.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Server:
    """A server on loopback, ready when /health says 200. Use as a context manager; its words are in `log`."""

    def __init__(
        self,
        command: list[str],
        port: int,
        log: Path,
        environ: dict[str, str],
        *,
        start_seconds: float = START_SECONDS,
        own_session: bool = False,
    ) -> None:
        """`start_seconds` is the most that it may take to be ready."""
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.log = log
        self._start_seconds = start_seconds
        self.began = time.perf_counter()
        with log.open("w") as output:
            self.process = subprocess.Popen(
                command,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=ROOT,
                env=environ,
                start_new_session=own_session,
            )

    def __enter__(self) -> Self:
        try:
            self.wait_until_ready()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + self._start_seconds
        while not self.is_healthy():
            assert self.process.poll() is None, f"the server ended:\n{self.log.read_text()}"
            assert time.monotonic() < deadline, f"the server is not ready:\n{self.log.read_text()}"
            time.sleep(0.02)

    def is_healthy(self) -> bool:
        try:
            with urllib.request.urlopen(self.url + "/health", timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, http.client.HTTPException, OSError):
            return False

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class Serve(Server):
    """`paddock serve` of the tiny model, with a small cache."""

    def __init__(
        self,
        log: Path,
        *flags: str,
        model: Path = TINY_MODEL,
        environ: dict[str, str] | None = None,
        launcher: tuple[str, ...] = (),
    ) -> None:
        """`launcher` is a module that starts the server's, with its own arguments."""
        port = free_port()
        command = [sys.executable, "-m", *launcher, "paddock.server", "serve", str(model)]
        command += ["--host", "127.0.0.1", "--port", str(port), *SMALL_CACHE, *flags]
        super().__init__(command, port, log, {**os.environ, **(environ or {})})

    def metric(self, name: str) -> float:
        """Value of an unlabelled-by-us series, for example `vllm:num_requests_running`."""
        for line in httpx.get(self.url + "/metrics", timeout=10).text.splitlines():
            if line.startswith(name + "{"):
                return float(line.rsplit(" ", 1)[1])
        raise AssertionError(f"/metrics has no {name}")

    def engine_pid(self) -> int:
        """The engine's process: the only child of the server."""
        [pid] = self.children()
        return pid

    def children(self) -> list[int]:
        return children(self.process.pid)

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self, seconds: float = 60.0) -> int:
        """The exit status."""
        return self.process.wait(seconds)


def children(pid: int) -> list[int]:
    paths = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for path in paths for child in path.read_text().split()]


def failed_start(*arguments: str, environ: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run `paddock serve …` that is expected to end by itself."""
    return subprocess.run(
        [sys.executable, "-m", "paddock.server", "serve", *arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=START_SECONDS,
        env={**os.environ, **(environ or {})},
    )
