"""Only the very process that was recorded is ever ended."""

import dataclasses
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from local_cluster.process_records import ProcessRecord


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "600"]) as process:
        yield process
        process.kill()


def test_a_record_survives_its_file(sleeper: subprocess.Popen[bytes], tmp_path: Path) -> None:
    record = ProcessRecord.of(sleeper.pid, "sleep")

    record.write(tmp_path / "cp.sleep")

    assert ProcessRecord.read(tmp_path / "cp.sleep") == record
    assert record.alive()


def test_the_recorded_process_is_ended(sleeper: subprocess.Popen[bytes]) -> None:
    ProcessRecord.of(sleeper.pid, "sleep").kill()

    assert sleeper.wait(timeout=10) == -9


def test_a_process_that_took_over_the_pid_is_left_alone(sleeper: subprocess.Popen[bytes]) -> None:
    ours = ProcessRecord.of(sleeper.pid, "sleep")
    earlier = dataclasses.replace(ours, start_time=ours.start_time - 1)

    earlier.kill()

    assert not earlier.alive()
    assert sleeper.poll() is None


def test_a_process_with_another_command_line_is_left_alone(sleeper: subprocess.Popen[bytes]) -> None:
    ProcessRecord.of(sleeper.pid, "kubelet").kill()

    assert sleeper.poll() is None


def test_a_process_that_has_ended_is_not_alive(sleeper: subprocess.Popen[bytes]) -> None:
    record = ProcessRecord.of(sleeper.pid, "sleep")
    sleeper.kill()
    sleeper.wait(timeout=10)

    assert not record.alive()
    assert not record.exists()
