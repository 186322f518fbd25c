"""Run a program to its end, or say which program failed and with what words."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from local_cluster.errors import ClusterError

LAST_LINES = 15
Word: TypeAlias = str | Path


def run(
    argv: Sequence[Word],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: str | None = None,
    timeout: float | None = None,
) -> str:
    """Standard output of `argv`. Raises ClusterError with the last lines of its output when it fails."""
    words = [str(word) for word in argv]
    try:
        done = subprocess.run(
            words,
            check=False,
            env=dict(env) if env is not None else None,
            cwd=cwd,
            input=stdin if stdin is not None else "",
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
        )
    except FileNotFoundError:
        raise ClusterError(f"the program {words[0]} was not found; run the install command first") from None
    except subprocess.TimeoutExpired:
        raise ClusterError(f"{' '.join(words)} gave no result within {timeout:g} s") from None
    if done.returncode:
        said = "\n".join((done.stderr or done.stdout).strip().splitlines()[-LAST_LINES:])
        raise ClusterError(f"{' '.join(words)} ended with {done.returncode}: {said}")
    return done.stdout


def succeeds(argv: Sequence[Word], *, env: Mapping[str, str] | None = None) -> bool:
    """Whether `argv` ends with status 0; what it prints is dropped."""
    try:
        run(argv, env=env)
    except ClusterError:
        return False
    return True
