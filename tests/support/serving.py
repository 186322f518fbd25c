"""A `paddock serve` process of the tests' own: started, asked, stopped by its pid."""

import os
import signal
import socket
import subprocess
import sys
import time
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


class Serve:
    """Use as a context manager; the log is in `log`."""

    def __init__(
        self,
        log: Path,
        *flags: str,
        model: Path = TINY_MODEL,
        environ: dict[str, str] | None = None,
        launcher: tuple[str, ...] = (),
    ) -> None:
        """`launcher` is a module that starts the server's, with its own arguments."""
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = log
        command = [sys.executable, "-m", *launcher, "paddock.server", "serve", str(model)]
        command += ["--host", "127.0.0.1", "--port", str(self.port), *SMALL_CACHE, *flags]
        with log.open("w") as output:
            self.process = subprocess.Popen(
                command,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=ROOT,
                env={**os.environ, **(environ or {})},
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
        deadline = time.monotonic() + START_SECONDS
        while not self.is_healthy():
            assert self.process.poll() is None, f"the server ended:\n{self.log.read_text()}"
            assert time.monotonic() < deadline, f"the server is not ready:\n{self.log.read_text()}"
            time.sleep(0.1)

    def is_healthy(self) -> bool:
        try:
            return httpx.get(self.url + "/health", timeout=5).status_code == 200
        except httpx.TransportError:
            return False

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
        paths = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        return [int(pid) for path in paths for pid in path.read_text().split()]

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self, seconds: float = 60.0) -> int:
        """The exit status."""
        return self.process.wait(seconds)

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


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
