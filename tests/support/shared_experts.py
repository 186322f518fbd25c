"""Servers whose replicas share the experts of a random Mixtral: what they are asked, and what they must answer and spend."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import psutil
import torch
from model_families import make_model, save_model
from nodes import ENDS_WITHIN_SECONDS
from serving import Serve, free_port

FLAGS = (
    *("--data-parallel-size", "2", "--enable-expert-parallel", "--skip-tokenizer-init"),
    *("--dtype", "float32", "--max-model-len", "512"),
)
PROMPTS = [[3, 4, 5, 6], [9] * 40, [7], list(range(20))]
HYBRID, EXTERNAL = "hybrid", "external"
IDLE_SECONDS = 5
TOKENS = 12


class Checkpoint:
    """In `path`, with the model that judges."""

    def __init__(self, path: Path) -> None:
        self.path, self._model = path, make_model("mixtral")
        save_model("mixtral", self._model, path)

    def expected(self, prompt: list[int]) -> list[int]:
        made = self._model.generate(
            torch.tensor([prompt]), max_new_tokens=TOKENS, min_new_tokens=TOKENS, do_sample=False
        )
        tokens: list[int] = made[0, len(prompt) :].tolist()
        return tokens

    def check_answers(self, serve: Serve) -> None:
        for prompt in PROMPTS:
            [choice] = ask(serve, prompt).json()["choices"]
            assert choice["token_ids"] == self.expected(prompt)


def ask(serve: Serve, prompt: list[int], **fields: Any) -> httpx.Response:
    body = {
        "prompt": prompt,
        "max_tokens": TOKENS,
        "temperature": 0,
        "ignore_eos": True,
        "return_token_ids": True,
    }
    return httpx.post(serve.url + "/v1/completions", json=body | fields, timeout=120)


def check_rest(processes: Sequence[psutil.Process]) -> None:
    before = {each: _cpu_seconds(each) for each in processes}
    time.sleep(IDLE_SECONDS)  # what is measured
    assert max(_cpu_seconds(each) - before[each] for each in processes) < 0.02 * IDLE_SECONDS


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


class OwnApis:
    """Two nodes, each with a replica and an API of its own, which meet at `address`. The second is started first."""

    def __init__(self, folder: Path, model: Path, *flags: str, address: str = "127.0.0.1") -> None:
        self.folder, self.model = folder, model
        self.environ = {"PADDOCK_GROUP_SECRET": "for these tests only", "OMP_NUM_THREADS": "1"}
        place = ("--data-parallel-address", address, "--data-parallel-rpc-port", str(free_port()))
        self.flags = (*FLAGS, *place, *flags)
        self.servers: list[Serve] = []

    def start(self, rank: int, balancing: str = HYBRID) -> Serve:
        """Not ready yet."""
        own = ("--data-parallel-rank", str(rank))
        if balancing == HYBRID:
            own = ("--data-parallel-hybrid-lb", "--data-parallel-start-rank", str(rank))
            own += ("--data-parallel-size-local", "1")
        log = self.folder / f"node {len(self.servers)}"
        self.servers.append(Serve(log, *self.flags, *own, model=self.model, environ=self.environ))
        return self.servers[-1]

    def start_both(self, balancing: str = HYBRID) -> list[Serve]:
        """In the order of their ranks, ready."""
        second, first = self.start(1, balancing), self.start(0, balancing)
        for serve in (first, second):
            serve.wait_until_ready()
        return [first, second]

    def close(self) -> None:
        for serve in self.servers:
            serve.process.kill()
            serve.process.wait(ENDS_WITHIN_SECONDS)
