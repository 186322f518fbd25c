"""Two network namespaces joined by a virtual cable that can be cut: what two machines are to a group's processes."""

import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from waiting import until

CABLE = "cable0"
LEADER, OTHER = "10.213.0.1", "10.213.0.2"
CLONE_NEWNET = 0x40000000
SILENCE = (
    "add table inet cut;"
    "add chain inet cut in { type filter hook input priority 0; policy drop; };"
    "add chain inet cut out { type filter hook output priority 0; policy drop; };"
    f'add rule inet cut in iifname != "{CABLE}" accept; add rule inet cut out oifname != "{CABLE}" accept'
)


def why_not() -> str | None:
    """Why there can be no two machines here; None when there can."""
    missing = [name for name in ("unshare", "nsenter", "ip", "nft") if shutil.which(name) is None]
    if missing:
        return f"needs {' and '.join(missing)}"
    made = subprocess.run(["unshare", "--net", "true"], check=False, capture_output=True, text=True)
    return None if made.returncode == 0 else f"network namespaces cannot be made here: {made.stderr.strip()}"


class TwoMachines:
    """The leader's, at `LEADER`, and the other, at `OTHER`. Use `opened`."""

    def __init__(self, leader: int, other: int) -> None:
        """Pids of the processes that hold the namespaces."""
        self._leader, self._other = leader, other
        self._run(
            leader, "ip", "link", "add", CABLE, "type", "veth", "peer", "name", CABLE, "netns", str(other)
        )
        for pid, address in ((leader, LEADER), (other, OTHER)):
            self._run(pid, "ip", "link", "set", "lo", "up")
            self._run(pid, "ip", "addr", "add", f"{address}/24", "dev", CABLE)
            self._run(pid, "ip", "link", "set", CABLE, "up")

    @staticmethod
    @contextmanager
    def opened() -> Iterator["TwoMachines"]:
        with ExitStack() as stack:
            yield TwoMachines(*(stack.enter_context(_held()) for _ in range(2)))

    def on_leader(self) -> "Inside":
        return Inside(self._leader)

    def on_other(self) -> "Inside":
        return Inside(self._other)

    def pull_the_plug(self) -> None:
        """Both ends see that the cable carries nothing."""
        self._run(self._other, "ip", "link", "set", CABLE, "down")

    def lose_every_packet(self) -> None:
        """Neither end sees anything at all: no connection is reset, and none is closed."""
        self._run(self._other, "nft", SILENCE)

    @staticmethod
    def _run(pid: int, *command: str) -> None:
        subprocess.run(["nsenter", "-t", str(pid), "--net", "--", *command], check=True)


class Inside:
    """While it is entered, this thread's sockets, and the processes and threads that it starts, are on that machine."""

    def __init__(self, pid: int) -> None:
        self._pid = pid

    def __enter__(self) -> None:
        self._before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        there = os.open(f"/proc/{self._pid}/ns/net", os.O_RDONLY)
        try:
            _enter(there)
        finally:
            os.close(there)

    def __exit__(self, *_: object) -> None:
        _enter(self._before)
        os.close(self._before)


def _enter(namespace: int) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    if library.setns(namespace, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


@contextmanager
def _held() -> Iterator[int]:
    """A process in a namespace of its own, which goes with it."""
    own = os.readlink("/proc/self/ns/net")
    with subprocess.Popen(["unshare", "--net", "sleep", "infinity"]) as holder:
        try:
            link = f"/proc/{holder.pid}/ns/net"
            until(lambda: os.readlink(link) != own, seconds=10, what="a network namespace", every=0.02)
            yield holder.pid
        finally:
            holder.kill()
