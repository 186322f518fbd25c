"""Two nodes of one group: a server that leads, a follower, and how all of it ends."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import psutil
from serving import ROOT, SMALL_CACHE, TINY_MODEL, Serve, free_port
from waiting import until

ENDS_WITHIN_SECONDS = 10
"""What the group promises."""


class Nodes:
    """Of `sizes`, on loopback or wherever `address` is the leader's. `follower` may be called again after a refusal."""

    def __init__(
        self, folder: Path, *sizes: str, address: str = "127.0.0.1", model: Path = TINY_MODEL
    ) -> None:
        self.folder, self.sizes, self.model = folder, sizes, model
        self.followers: list[subprocess.Popen[bytes]] = []
        self.environ = {"PADDOCK_GROUP_SECRET": "for these tests only", "OMP_NUM_THREADS": "1"}
        port = str(free_port())
        self.flags: tuple[str, ...] = ("--nnodes", "2", "--master-addr", address, "--master-port", port)
        self.as_follower: tuple[str, ...] = ("--node-rank", "1", "--headless")
        if "--data-parallel-size" in sizes:
            self.flags = ("--data-parallel-size-local", "1", "--data-parallel-address", address)
            self.flags += ("--data-parallel-rpc-port", port)
            self.as_follower = ("--data-parallel-start-rank", "1", "--headless")

    def leader(self) -> Serve:
        return Serve(self.folder / "leader", *self.sizes, *self.flags, model=self.model, environ=self.environ)

    def follower(self, *flags: str) -> tuple[subprocess.Popen[bytes], Path]:
        """With its log."""
        command = [sys.executable, "-m", "paddock.server", "serve", str(self.model), *self.sizes, *self.flags]
        command += [*SMALL_CACHE, *self.as_follower, *flags]
        log = self.folder / f"follower {len(self.followers)}"
        with log.open("w") as output:
            made = subprocess.Popen(
                command, stdout=output, stderr=subprocess.STDOUT, cwd=ROOT, env={**os.environ, **self.environ}
            )
        self.followers.append(made)
        return made, log

    def close(self) -> None:
        for follower in self.followers:
            follower.kill()
            follower.wait()


def below(*pids: int) -> list[psutil.Process]:
    """All descendants."""
    return [each for pid in pids for each in psutil.Process(pid).children(recursive=True)]


def are_gone(processes: Sequence[psutil.Process]) -> bool:
    return not any(each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in processes)


class Stream(threading.Thread):
    """A long answer being read; `error` is the error event that ended it."""

    def __init__(self, server: Serve, body: dict[str, Any]) -> None:
        super().__init__(daemon=True)
        self.url, self.body = server.url, {**body, "stream": True}
        self.started = threading.Event()
        self.error: dict[str, Any] | None = None

    def run(self) -> None:
        with httpx.stream("POST", self.url + "/v1/completions", json=self.body, timeout=60) as reply:
            for line in reply.iter_lines():
                if line.startswith("data: {"):
                    self.started.set()
                    self.error = json.loads(line[6:]).get("error", self.error)


def check_end(server: Serve, stream: Stream, processes: Sequence[psutil.Process], words: str) -> None:
    """The stream ends with the reason, health says no, and nobody is left."""
    until(lambda: not server.is_healthy(), seconds=ENDS_WITHIN_SECONDS, what="/health to fail")
    assert server.wait(ENDS_WITHIN_SECONDS) == 1
    stream.join(ENDS_WITHIN_SECONDS)
    assert stream.error is not None
    assert words in stream.error["message"]
    until(lambda: are_gone(processes), seconds=ENDS_WITHIN_SECONDS, what="every process to be gone")
