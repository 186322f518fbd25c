"""What this process may use of the machine: cores and memory, as affinity and control groups allow. Linux."""

import os
from collections.abc import Mapping
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")

BYTES_PER_THREAD = 32 << 20
"""Weights that keep one thread busy for a few milliseconds of a step."""


def allowed_cores(cgroup: Path = CGROUP) -> int:
    """Cores by affinity, cut to the CPU quota (cgroup v2 or v1) rounded up; at least 1."""
    cores = len(os.sched_getaffinity(0))
    quota = _cpu_quota(cgroup)
    return max(1, cores if quota is None else min(cores, -(-quota[0] // quota[1])))


def thread_count(
    weight_bytes: int | None = None, environ: Mapping[str, str] = os.environ, num_sharers: int = 1
) -> int:
    """Threads for computing: `OMP_NUM_THREADS` where it is set, else one for each allowed core.

    `num_sharers` ranks on this machine compute at the same time and share its cores evenly: threads of one rank that
    wait for a core hold up all the others at the next sum.

    A model of `weight_bytes` gets no more than it has work for: dozens of times a step the threads wait for the
    slowest, and where a core is shared that costs a time slice, more than the whole step of a small model.
    """
    asked = environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if asked.isdigit() and int(asked) > 0:
        return int(asked)
    cores = max(1, allowed_cores() // num_sharers)
    useful = cores if weight_bytes is None else 1 + weight_bytes // BYTES_PER_THREAD
    return min(cores, useful)


def _cpu_quota(cgroup: Path) -> tuple[int, int] | None:
    """(quota, period) in microseconds; None where there is no limit."""
    version2 = _words(cgroup / "cpu.max")
    if len(version2) == 2 and version2[0] != "max":
        return int(version2[0]), int(version2[1])
    quota = _words(cgroup / "cpu" / "cpu.cfs_quota_us")
    period = _words(cgroup / "cpu" / "cpu.cfs_period_us")
    if quota and period and int(quota[0]) > 0:
        return int(quota[0]), int(period[0])
    return None


def available_memory(cgroup: Path = CGROUP, meminfo: Path = Path("/proc/meminfo")) -> int:
    """Bytes that can be allocated: the kernel's estimate, and what the control group's limit still leaves."""
    free = _meminfo(meminfo, "MemAvailable")
    for limit_file, usage_file, cache_key in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "total_inactive_file"),
    ):
        limit, usage = _words(cgroup / limit_file), _words(cgroup / usage_file)
        if limit and usage and limit[0] != "max":
            # File pages, such as the mapped checkpoint's, count as used but give way.
            reclaimable = _statistic((cgroup / usage_file).parent / "memory.stat", cache_key)
            free = min(free, int(limit[0]) - int(usage[0]) + reclaimable)
    return max(0, free)


def _words(file: Path) -> list[str]:
    try:
        return file.read_text().split()
    except OSError:
        return []


def _meminfo(file: Path, key: str) -> int:
    words = _words(file)
    return int(words[words.index(f"{key}:") + 1]) * 1024


def _statistic(file: Path, key: str) -> int:
    words = _words(file)
    return int(words[words.index(key) + 1]) if key in words else 0
