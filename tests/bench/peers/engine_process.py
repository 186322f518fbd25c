"""A peer's engine in a process of its own, stepped as ours is."""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ANSWER = "answer "
"""Lines that do not begin so are the peer's own talk."""


class EngineProcess:
    """Use as a context manager."""

    def __init__(self, python: Path, script: Path, *arguments: str, environ: dict[str, str]) -> None:
        """Returns when the engine can compute; its first compilation of a shape may take minutes."""
        self._script = script
        command = [str(python), str(script), *arguments]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environ
        )
        self._answer()

    @property
    def pid(self) -> int:
        return self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()

    def step_seconds(self, prompts: Sequence[Sequence[int]], max_tokens: int) -> list[float]:
        """Wall time of each step until all are done; the first ones compute the prompts."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([prompts, max_tokens]) + "\n")
        self._process.stdin.flush()
        seconds: list[float] = self._answer()
        return seconds

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith(ANSWER):
                return json.loads(line.removeprefix(ANSWER))
        raise RuntimeError(f"{self._script} ended with {self._process.wait()}: its words stand above")
