"""Ten thousand clients that connect and say nothing: what they cost, and whether others are still answered."""

import os
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest
from serving import Serve
from waiting import until

CONNECTIONS = 10_000
MAY_COST_BYTES = 20_000
"""Each, in the server's own memory."""

SHELL_LIMIT = 1_024


@contextmanager
def open_files(soft: int) -> Iterator[None]:
    """Of this process, and of those that it starts meanwhile."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def held_by(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


@pytest.mark.long
@pytest.mark.timeout(600)
def test_ten_thousand_idle_connections_cost_little_and_hinder_nobody(tmp_path: Path) -> None:
    with ExitStack() as stack:
        with open_files(SHELL_LIMIT):
            serve = stack.enter_context(Serve(tmp_path / "log"))
        stack.enter_context(open_files(resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        pid = serve.process.pid
        before, files = resident_bytes(pid), held_by(pid)

        for _ in range(CONNECTIONS):
            stack.enter_context(socket.create_connection(("127.0.0.1", serve.port), timeout=30))
        until(lambda: held_by(pid) >= CONNECTIONS, seconds=50, what="every connection is accepted")

        cost = (resident_bytes(pid) - before) / CONNECTIONS
        began = time.perf_counter()
        assert serve.is_healthy()
        body = {"prompt": "What is a pod?", "max_tokens": 8, "temperature": 0}
        assert httpx.post(serve.url + "/v1/completions", json=body, timeout=60).status_code == 200
        print(
            f"{cost:.0f} bytes for each connection; answered in {time.perf_counter() - began:.3f} s beside them"
        )
        assert cost < MAY_COST_BYTES

        until(lambda: held_by(pid) <= files + 10, seconds=120, what="those that say nothing are closed")
        assert serve.is_healthy()
