"""A machine of the cluster: network, mount, pid, host name, ipc and cgroup namespaces held open by one process.

Killing that process ends every process inside, and the mounts, links and firewall rules vanish with the namespaces.
"""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from local_cluster.cgroups import SetCgroup
from local_cluster.commands import run
from local_cluster.deadline import Deadline
from local_cluster.directories import ClusterDirectory
from local_cluster.errors import ClusterError, ProgramEnded
from local_cluster.process_records import ProcessRecord, command_line, only_child

NAMESPACES = ("--net", "--mount", "--pid", "--uts", "--ipc", "--cgroup")
START_SECONDS = 20
LAST_CHARACTERS = 2000

# Joins the cgroups named before "--", then becomes the program: entering namespaces does not move a process.
JOIN = 'while [ "$1" != -- ]; do echo $$ >"$1" || exit 1; shift; done; shift; exec "$@"'


class NamespaceSet:
    """The set called `name` of a cluster. `tools` is put first on the PATH of what runs inside."""

    def __init__(self, cluster: ClusterDirectory, name: str, tools: Path) -> None:
        self.name = name
        self._cluster = cluster
        self._tools = tools
        self._cgroup = SetCgroup(cluster.cgroup, name)

    @property
    def init(self) -> int:
        """Pid of the process that holds the namespaces. Raises ClusterError when the set is not open."""
        try:
            return ProcessRecord.read(self._record("init")).pid
        except FileNotFoundError:
            raise ClusterError(f"{self.name} of cluster {self._cluster.name} is not running") from None

    def open(self) -> None:
        """Create the namespaces, with the loopback device up and the host name set."""
        pause = self._tools / "pause"
        self._cgroup.create()
        unshare = ["unshare", *NAMESPACES, "--fork", "--kill-child", "--mount-proc", str(pause)]
        outer = self._spawn(unshare, "init")
        init = Deadline(START_SECONDS).wait(
            f"namespaces of {self.name}", lambda: self._held_by(outer), interval=0.02
        )
        self._record_process("outer", outer, str(pause))
        self._record_process("init", init, str(pause))
        self._cgroup.make_room_for_children()
        self.enter(["hostname", self.name])
        self.net(["ip", "link", "set", "lo", "up"])

    def start(self, program: str, *arguments: str | Path, through: Sequence[str | Path] = ()) -> None:
        """Start a daemon inside; its output goes to log/SET.PROGRAM.log and its own pid is recorded. The command `through`
        prepares for it, and becomes it.
        """
        words = [str(word) for word in (*through, program, *arguments)]
        entry = self._spawn([*self._nsenter(NAMESPACES), *words], program)
        what, start = f"start of {program} in {self.name}", Deadline(START_SECONDS)
        child = start.wait(what, lambda: only_child(entry), interval=0.02)
        start.wait(what, lambda: self._runs(child, program), interval=0.02)
        self._record_process(program, child, program)

    def require_running(self) -> None:
        """Raise ProgramEnded, with its last words, for a daemon of this set that has ended."""
        for file in self._cluster.processes.glob(f"{self.name}.*"):
            if not ProcessRecord.read(file).alive():
                raise self._ended(file.name.removeprefix(f"{self.name}."))

    def enter(
        self, argv: Sequence[str | Path], *, stdin: str | None = None, timeout: float | None = None
    ) -> str:
        """Run a program to its end in all namespaces of the set and return what it printed."""
        return run([*self._nsenter(NAMESPACES), *argv], env=self.environment(), stdin=stdin, timeout=timeout)

    def net(self, argv: Sequence[str | Path]) -> str:
        """Run a program in the network namespace alone: it sees the host's paths and pids."""
        return run([*self._nsenter(("--net",)), *argv])

    def environment(self) -> dict[str, str]:
        """Variables for programs inside: no proxy, since nothing of the cluster leaves this machine."""
        kept = {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}
        return {**kept, "PATH": f"{self._tools}:/usr/sbin:/usr/bin:/sbin:/bin"}

    def log(self, program: str) -> Path:
        return self._cluster.logs / f"{self.name}.{program}.log"

    def _nsenter(self, namespaces: Sequence[str]) -> list[str]:
        return ["nsenter", "-t", str(self.init), *namespaces, "--"]

    def _spawn(self, argv: Sequence[str], program: str) -> int:
        self._cluster.logs.mkdir(parents=True, exist_ok=True)
        joins = [str(file) for file in self._cgroup.join_files()]
        with self.log(program).open("ab") as log:
            process = subprocess.Popen(
                ["sh", "-c", JOIN, "sh", *joins, "--", *argv],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.environment(),
                cwd="/",
                start_new_session=True,
            )
        return process.pid

    def _held_by(self, outer: int) -> int | None:
        """The init below `unshare` once it is in a cgroup namespace of its own."""
        child = only_child(outer)
        if child is None:
            return None
        try:
            inside = os.readlink(f"/proc/{child}/ns/cgroup") != os.readlink("/proc/self/ns/cgroup")
            started = os.readlink(f"/proc/{child}/exe").endswith("/pause")
        except FileNotFoundError:
            return None
        return child if inside and started else None

    def _runs(self, pid: int, program: str) -> bool:
        """Whether the entered process has become `program`. Raises ProgramEnded when it has ended instead.

        In the middle of exec the program is the new one already and the command line still empty, by which a look
        at its record would take it for ended.
        """
        try:
            return Path(os.readlink(f"/proc/{pid}/exe")).name == program and program in command_line(pid)
        except FileNotFoundError:
            raise self._ended(program) from None

    def _ended(self, program: str) -> ProgramEnded:
        log = self.log(program)
        words = log.read_text(errors="replace")[-LAST_CHARACTERS:] if log.exists() else ""
        return ProgramEnded(f"{program} of {self.name} has ended; the end of {log}:\n{words}")

    def _record(self, program: str) -> Path:
        return self._cluster.processes / f"{self.name}.{program}"

    def _record_process(self, program: str, pid: int, expected: str) -> None:
        self._cluster.processes.mkdir(parents=True, exist_ok=True)
        ProcessRecord.of(pid, expected).write(self._record(program))
