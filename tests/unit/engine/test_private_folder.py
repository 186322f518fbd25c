"""Folders for sockets: whose they are, and what becomes of those that a killed process leaves."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from paddock.engine.private_folder import private_folder, sweep

MAKE_AND_WAIT = """
import sys
from paddock.engine.private_folder import private_folder
folder = private_folder()
(folder / "engine").touch()
print(folder, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "s"
    folder.mkdir()
    monkeypatch.setenv("PADDOCK_RPC_BASE_PATH", str(folder))
    return folder


def test_what_a_killed_process_left_goes_at_the_next_start(parent: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", MAKE_AND_WAIT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        theirs = Path(process.stdout.readline().strip())
        beside = private_folder()
        assert sorted(parent.iterdir()) == sorted([theirs, beside])

        process.send_signal(signal.SIGKILL)
        process.wait()
    after = private_folder()
    assert sorted(parent.iterdir()) == sorted([beside, after])


def test_only_this_user_may_enter(parent: Path) -> None:
    assert private_folder().stat().st_mode & 0o777 == 0o700


def test_what_is_not_ours_stays(parent: Path) -> None:
    """Another name, a link, a file, and a folder that others may enter."""
    (parent / "paddock-models").mkdir(0o700)
    (parent / "paddock-run-link").symlink_to(parent / "paddock-models")
    (parent / "paddock-run-file").touch()
    (parent / "paddock-run-open").mkdir()
    (parent / "paddock-run-open").chmod(0o755)
    before = sorted(parent.iterdir())
    sweep(parent)
    assert sorted(parent.iterdir()) == before


def test_a_folder_too_deep_for_a_socket_is_refused_and_not_left(
    parent: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = parent / ("d" * 100)
    deep.mkdir()
    monkeypatch.setenv("PADDOCK_RPC_BASE_PATH", str(deep))
    with pytest.raises(OSError, match="too long for a socket's address"):
        private_folder()
    assert os.listdir(deep) == []
