"""`paddock collect-env`: what a bug report needs to know of a machine, and nothing that is secret."""

import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path

from paddock.server.cli.arguments import CommandParser

LIBRARIES = (
    "torch", "triton", "transformers", "tokenizers", "safetensors", "huggingface-hub", "numpy",
    "fastapi", "starlette", "uvicorn", "uvloop", "httptools", "openai", "aiohttp", "pyzmq", "msgspec",
    "pydantic", "jinja2", "prometheus-client", "kopf", "kubernetes",
)  # fmt: skip
VARIABLES = re.compile(
    r"(PADDOCK|CUDA|NVIDIA|NCCL|GLOO|TORCH|PYTORCH|TRITON|OMP|MKL|KMP|GOMP|HF|TRANSFORMERS|TOKENIZERS)_\w+"
    r"|LD_LIBRARY_PATH|LD_PRELOAD|XDG_CACHE_HOME"
)
"""What changes how a server runs. All others are nobody's business."""

SECRET = re.compile(r"KEY|TOKEN|SECRET|PASS|CREDENTIAL|AUTH|PROXY|HEADER", re.IGNORECASE)
CREDENTIALS_IN_URL = re.compile(r"(?<=://)[^/@\s]*@|(?<=\?)[^\s]+")
MASK = "***"
COMMAND_SECONDS = 20.0
GPU_QUERY = (
    "nvidia-smi",
    "--query-gpu=name,memory.total,driver_version,compute_cap",
    "--format=csv,noheader",
)

Rows = Iterator[tuple[str, str]]


def collect_env(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Print sections of `name: value` lines; the exit status."""
    parser = CommandParser(
        "collect-env", "Print versions of system, Python, libraries and GPUs for a bug report; no secrets."
    )
    parser.parse_args(argv)
    sections = (
        ("System", _system()),
        ("Python", _python()),
        ("Torch", _torch()),
        ("GPUs", _gpus()),
        ("Libraries", _libraries()),
        ("Environment", environment(environ)),
    )
    for title, rows in sections:
        print(f"== {title}")
        for name, value in rows:
            print(f"{name}: {value}", flush=True)
        print()
    return 0


def _system() -> Rows:
    yield "system", f"{platform.system()} {platform.release()} {platform.machine()}"
    yield "distribution", _line_of("/etc/os-release", r'PRETTY_NAME="?([^"\n]*)') or "unknown"
    yield "C library", " ".join(platform.libc_ver()) or "unknown"
    yield "compiler", _first_line(("c++", "--version"))
    yield "CPU", _line_of("/proc/cpuinfo", r"model name\s*:\s*(.*)") or platform.processor() or "unknown"
    yield "cores usable", f"{len(os.sched_getaffinity(0))} of {os.cpu_count()}"
    instructions = _line_of("/proc/cpuinfo", r"flags\s*:\s*(.*)") or ""
    known = [name for name in instructions.split() if re.match(r"avx|amx|fma$", name)]
    yield "CPU instructions", " ".join(known) or "unknown"
    kilobytes = _line_of("/proc/meminfo", r"MemTotal:\s*(\d+)")
    yield "memory", f"{int(kilobytes) / 2**20:.1f} GiB" if kilobytes else "unknown"
    limit = _line_of("/sys/fs/cgroup/memory.max", r"(\d+)")
    yield "memory limit", f"{int(limit) / 2**30:.1f} GiB" if limit else "none"


def _python() -> Rows:
    from paddock import __version__

    yield "paddock", __version__
    yield "python", sys.version.replace("\n", " ")
    yield "executable", sys.executable
    yield "in a virtual environment", "yes" if sys.prefix != sys.base_prefix else "no"


def _torch() -> Rows:
    try:
        import torch
    except (ImportError, OSError) as error:  # OSError: a shared library of it is missing
        yield "torch", f"cannot be imported: {error}"
        return
    yield "torch", torch.__version__
    yield "built for CUDA", torch.version.cuda or "no"
    yield "CUDA usable", "yes" if torch.cuda.is_available() else "no"
    if torch.cuda.is_available():
        yield "cuDNN", str(torch.backends.cudnn.version())  # type: ignore[no-untyped-call]
        yield "NCCL", ".".join(map(str, torch.cuda.nccl.version()))  # type: ignore[no-untyped-call]
    yield "threads", str(torch.get_num_threads())


def _gpus() -> Rows:
    lines = _output(GPU_QUERY)
    if lines is None:
        yield "nvidia-smi", "not there, or it failed"
        return
    for index, line in enumerate(lines.splitlines()):
        yield str(index), line


def _libraries() -> Rows:
    for name in LIBRARIES:
        try:
            yield name, metadata.version(name)
        except metadata.PackageNotFoundError:
            yield name, "not installed"


def environment(environ: Mapping[str, str]) -> Rows:
    """The variables that matter. A secret is shown as set, a URL without its credentials and its query."""
    for name in sorted(environ):
        if VARIABLES.fullmatch(name):
            hidden = SECRET.search(name) is not None
            yield name, MASK if hidden else CREDENTIALS_IN_URL.sub(f"{MASK}", environ[name])


def _line_of(path: str, pattern: str) -> str | None:
    try:
        found = re.search(pattern, Path(path).read_text(errors="replace"))
    except OSError:
        return None
    return found[1].strip() if found else None


def _first_line(command: Sequence[str]) -> str:
    lines = (_output(command) or "").splitlines()
    return lines[0] if lines else "not there"


def _output(command: Sequence[str]) -> str | None:
    if shutil.which(command[0]) is None:
        return None
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
