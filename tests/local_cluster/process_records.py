"""Remember which processes are ours, so that nothing is ever ended by its name.

A pid is reused sooner or later; together with its start time it is not. The command line is checked as well.
"""

import json
import os
import signal
from dataclasses import asdict, dataclass
from pathlib import Path

# Position of starttime in /proc/PID/stat, counted after the command name (proc(5): field 22, state is field 3).
START_TIME = 19


@dataclass(frozen=True)
class ProcessRecord:
    """One process: its pid, its start (clock ticks since boot) and the program that it runs."""

    pid: int
    start_time: int
    program: str

    @classmethod
    def of(cls, pid: int, program: str) -> "ProcessRecord":
        return cls(pid, start_time(pid) or 0, program)

    @classmethod
    def read(cls, file: Path) -> "ProcessRecord":
        return cls(**json.loads(file.read_text()))

    def write(self, file: Path) -> None:
        """Replace the file in one step: a reader never sees half of it."""
        partial = file.with_name(f".{file.name}.partial")
        partial.write_text(json.dumps(asdict(self)))
        partial.rename(file)

    def exists(self) -> bool:
        """Whether the process is still there, if only to end: its command line goes before its namespaces do."""
        return self.start_time == start_time(self.pid)

    def alive(self) -> bool:
        """Whether exactly this process still runs this program."""
        return self.exists() and self.program in command_line(self.pid)

    def kill(self) -> None:
        """End it at once, if it is still the recorded process."""
        if self.alive():
            try:
                os.kill(self.pid, signal.SIGKILL)
            except ProcessLookupError:  # it ended between the look and the signal
                return


def start_time(pid: int) -> int | None:
    """Start of a process in clock ticks since boot; None when there is none, or only its zombie."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if after_name[0] in "ZX" else int(after_name[START_TIME])


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def only_child(pid: int) -> int | None:
    """The pid of a process's first child, or None when it has none (yet)."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return int(children[0]) if children else None
