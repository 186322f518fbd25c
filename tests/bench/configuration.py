"""What the configuration costs: the start of `paddock serve --help`, and parsing and checking in a warm process.

    python tests/bench/configuration.py [--samples 200]

Start-up is the best of ten fresh processes, since a busy machine only ever adds to it; `bare Python` is the floor
that no program gets below. The rest is the median in this process.
"""

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import yaml

from paddock.engine.config import from_spec, parse_serve
from paddock.engine.config.manifest.check import check, schema
from paddock.engine.config.manifest.writer import write_manifest

STARTS = 10
SPEC: Mapping[str, Any] = {
    "model": {"uri": "pvc://models", "dtype": "bfloat16", "maxModelLen": "32k", "servedModelName": ["a"]},
    "cache": {"gpuMemoryUtilization": 0.5, "blockSize": 32},
    "scheduler": {"maxNumSeqs": 64, "maxNumBatchedTokens": "8k"},
    "frontend": {"apiKeySecretRef": {"name": "keys", "key": "key"}},
}
SGLANG = {
    "model": {"uri": "pvc://models"},
    "backend": "sglang",
    "sglang": {"pageSize": 32, "contextLength": 8192},
}
COMMAND = [
    "vllm",
    "serve",
    "m",
    "--max-model-len",
    "32k",
    "--max-num-seqs",
    "64",
    "--gpu-memory-utilization",
    "0.8",
]


def stored(spec: Mapping[str, Any]) -> dict[str, Any]:
    """A spec with every default filled in, as the operator gets it from the API server."""
    from paddock.engine.config.manifest.check import defaulted

    filled: dict[str, Any] = defaulted(spec, schema()["properties"]["spec"])
    return filled


def start_ms(*arguments: str) -> float:
    """The best wall time of fresh interpreters, in milliseconds."""
    times = []
    for _ in range(STARTS):
        begun = time.perf_counter()
        subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - begun)
    return min(times) * 1e3


def median_ms(call: Callable[[], object], samples: int) -> float:
    call()
    times = []
    for _ in range(samples):
        begun = time.perf_counter()
        call()
        times.append(time.perf_counter() - begun)
    return statistics.median(times) * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--samples", type=int, default=200)
    samples = parser.parse_args().samples
    manifest = {"apiVersion": "paddock.dev/v1alpha1", "kind": "InferenceService", "metadata": {"name": "a"}}
    whole = {**manifest, "spec": dict(SPEC)}
    plain, sglang = stored(SPEC), stored(SGLANG)
    help_start = start_ms("-m", "paddock.server", "serve", "--help")
    rows: list[tuple[str, float, str]] = [
        ("bare Python starts and ends", start_ms("-c", "pass"), ""),
        ("paddock serve --help", help_start, "below 500"),
        ("paddock serve --help=all", start_ms("-m", "paddock.server", "serve", "--help=all"), ""),
        ("import yaml alone, for scale", start_ms("-c", f"import {yaml.__name__}"), ""),
        ("parse a command line", median_ms(lambda: parse_serve(COMMAND[2:], {}), samples), ""),
        ("from_spec of a stored object", median_ms(lambda: from_spec(plain), samples), "below 2"),
        ("from_spec of a stored SGLang object", median_ms(lambda: from_spec(sglang), samples), "below 2"),
        ("check a manifest offline", median_ms(lambda: check(whole), samples), ""),
        ("write a manifest", median_ms(lambda: write_manifest(COMMAND, "a"), samples), ""),
    ]
    print(f"{'what':<40}{'ms':>10}  target")
    for name, milliseconds, target in rows:
        print(f"{name:<40}{milliseconds:>10.2f}  {target}")


if __name__ == "__main__":
    main()
