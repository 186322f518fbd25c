"""The `paddock` command as a process, as a user types it."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 180.0


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "paddock.server", *words]


def environment(**more: str) -> dict[str, str]:
    """Without the keys that a developer's shell may hold."""
    kept = {
        name: value for name, value in os.environ.items() if name not in ("OPENAI_API_KEY", "PADDOCK_API_KEY")
    }
    return {**kept, "OMP_NUM_THREADS": "1", **more}


def paddock(
    *words: str, typed: str = "", cwd: Path = ROOT, environ: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run to the end; `typed` is standard input."""
    return subprocess.run(
        command(*words),
        input=typed,
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        timeout=SECONDS,
        env=environ or environment(),
    )


def fine(*words: str, typed: str = "", cwd: Path = ROOT, environ: dict[str, str] | None = None) -> str:
    """The standard output of a command that must succeed."""
    done = paddock(*words, typed=typed, cwd=cwd, environ=environ)
    assert done.returncode == 0, (
        f"{' '.join(words)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    )
    return done.stdout


def refusal(
    status: int, words: Sequence[str], cwd: Path = ROOT, environ: dict[str, str] | None = None
) -> str:
    """The standard error of a command that must end with this status."""
    done = paddock(*words, cwd=cwd, environ=environ)
    assert done.returncode == status, f"status {done.returncode}:\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr
    return done.stderr
