"""Cores and memory: what affinity and control groups leave of the machine."""

import os

import pytest

from paddock.engine.worker.host import allowed_cores, available_memory, thread_count

MEMINFO = "MemTotal:       8000000 kB\nMemFree:         100000 kB\nMemAvailable:    4000000 kB\n"


@pytest.fixture
def machine(tmp_path):
    (tmp_path / "meminfo").write_text(MEMINFO)

    def with_files(**files):
        for name, text in files.items():
            file = tmp_path / name.replace("__", "/").replace("_DOT_", ".")
            file.parent.mkdir(exist_ok=True)
            file.write_text(text)
        return tmp_path

    return with_files


@pytest.fixture
def eight_cores(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))


@pytest.mark.parametrize(
    ("quota", "cores"), [("max 100000", 8), ("150000 100000", 2), ("50000 100000", 1), ("6400000 100000", 8)]
)
def test_a_cpu_quota_limits_the_cores(machine, eight_cores, quota, cores):
    assert allowed_cores(machine(cpu_DOT_max=quota)) == cores


def test_the_quota_of_cgroup_version_1_is_read(machine, eight_cores):
    folder = machine(cpu__cpu_DOT_cfs_quota_us="300000\n", cpu__cpu_DOT_cfs_period_us="100000\n")

    assert allowed_cores(folder) == 3


def test_without_control_groups_affinity_decides(machine, eight_cores):
    assert allowed_cores(machine()) == 8


@pytest.mark.parametrize(
    ("asked", "threads"), [("3", 3), ("3,1", 3), ("", None), ("0", None), ("many", None)]
)
def test_omp_num_threads_is_honoured_where_it_is_a_number(asked, threads):
    assert thread_count(None, {"OMP_NUM_THREADS": asked}) == (threads or allowed_cores())


def test_memory_is_what_the_kernel_says_is_available(machine):
    folder = machine()

    assert available_memory(folder, folder / "meminfo") == 4_000_000 * 1024


def test_a_memory_limit_counts_and_its_file_pages_do_not(machine):
    folder = machine(
        memory_DOT_max="1000000000",
        memory_DOT_current="700000000",
        memory_DOT_stat="anon 5\ninactive_file 200000000\n",
    )

    assert available_memory(folder, folder / "meminfo") == 500_000_000


def test_a_limit_of_cgroup_version_1_counts(machine):
    folder = machine(
        memory__memory_DOT_limit_in_bytes="900000000",
        memory__memory_DOT_usage_in_bytes="600000000",
        memory__memory_DOT_stat="total_inactive_file 100000000\n",
    )

    assert available_memory(folder, folder / "meminfo") == 400_000_000


def test_use_over_the_limit_leaves_nothing_rather_than_less(machine):
    folder = machine(memory_DOT_max="100", memory_DOT_current="300", memory_DOT_stat="inactive_file 0")

    assert available_memory(folder, folder / "meminfo") == 0


@pytest.mark.parametrize(("megabytes", "threads"), [(11, 1), (40, 2), (10_000, 8)])
def test_a_small_model_gets_no_threads_that_would_only_wait(eight_cores, megabytes, threads):
    assert thread_count(megabytes << 20, {}) == threads
