"""Which server a command line starts, and with which arguments."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath

from paddock.engine.config.problems import ArgumentError, Problem, shown

_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
_PYTHON = re.compile(r"python[0-9.]*")
_STARTS: dict[tuple[str, ...], str] = {
    ("vllm", "serve"): "vllm",
    ("paddock", "serve"): "vllm",
    ("python", "-m", "vllm.entrypoints.openai.api_server"): "vllm",
    ("python", "-m", "vllm.entrypoints.cli.main", "serve"): "vllm",
    ("python", "-m", "paddock.server", "serve"): "vllm",
    ("python", "-m", "sglang.launch_server"): "sglang",
    ("sglang", "serve"): "sglang",
}


@dataclass(frozen=True, slots=True)
class Command:
    """A server's command line, taken apart."""

    variables: tuple[str, ...]
    """The `NAME=value` words before the program."""

    arguments: tuple[str, ...]
    """What follows `serve`, in words that `paddock serve` takes."""


def read_command(words: Sequence[str]) -> Command:
    """Recognise the server; ArgumentError if it is none that is known."""
    rest = list(words)
    variables = []
    while rest and _ASSIGNMENT.match(rest[0]):
        variables.append(rest.pop(0))
    program = PurePath(rest[0]).name if rest else ""
    named = ["python" if _PYTHON.fullmatch(program) else program, *rest[1:]]
    for start, dialect in _STARTS.items():
        if tuple(named[: len(start)]) == start:
            arguments = rest[len(start) :]
            chosen = ["--backend", "sglang"] if dialect == "sglang" else []
            return Command(tuple(variables), (*chosen, *arguments))
    known = ", ".join(f"`{' '.join(start)} …`" for start in _STARTS)
    said = shown(" ".join(rest[:3])) or "nothing"
    raise ArgumentError(
        [Problem((), f"is no server's command line that is known here; known are {known}", said)]
    )
