"""Twenty thousand requests, many of them given up half-way: neither process grows, and nothing stays behind."""

import asyncio
import os
import random
from pathlib import Path
from typing import Any

import httpx
import pytest
from serving import Serve
from waiting import until

REQUESTS = 20_000
WARM_UP = 4_000
CLIENTS = 32
WAYS = {
    "one-step-at-a-time": (),
    "async": ("--async-scheduling",),
    # Blocks for three requests of sixteen, so that most are preempted.
    "swapping": ("--swap-space", "0.01", "--num-gpu-blocks-override", "16", "--max-model-len", "128"),
}
MAY_GROW_BYTES = 16 << 20
"""Less than one kilobyte a request: a leak of a request's tokens or text would show."""


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def body(draw: random.Random) -> dict[str, Any]:
    prompt = [draw.randrange(5, 500) for _ in range(draw.randrange(1, 60))]
    return {
        "prompt": prompt[: draw.randrange(1, 60)] if draw.random() < 0.5 else [7] * len(prompt),
        "max_tokens": draw.randrange(1, 12),
        "temperature": draw.choice([0, 1]),
        "stream": True,
        "n": draw.choice([1, 1, 2]),
        "logprobs": draw.choice([None, 2]),
        "repetition_penalty": draw.choice([1.0, 1.1]),
        "cache_salt": draw.choice([None, "a", "b"]),
    }


async def ask(client: httpx.AsyncClient, draw: random.Random) -> None:
    gives_up_after = draw.choice([None, None, 0, 2])
    async with client.stream("POST", "/v1/completions", json=body(draw)) as answer:
        assert answer.status_code == 200
        events = 0
        async for _ in answer.aiter_lines():
            if gives_up_after is not None and events >= gives_up_after:
                return
            events += 1


async def load(url: str, requests: int, seed: int) -> None:
    draw = random.Random(seed)
    left = iter(range(requests))
    async with httpx.AsyncClient(base_url=url, timeout=120) as client:

        async def one_after_the_other() -> None:
            for _ in left:
                await ask(client, draw)

        await asyncio.gather(*(one_after_the_other() for _ in range(CLIENTS)))


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("flags", WAYS.values(), ids=WAYS)
def test_a_soak_with_random_aborts_grows_neither_process(tmp_path: Path, flags: tuple[str, ...]) -> None:
    environ = {"PADDOCK_CHECK_INTEGRITY": "1"}
    with Serve(tmp_path / "log", "--max-num-seqs", "16", *flags, environ=environ) as serve:
        pids = [serve.process.pid, serve.engine_pid()]
        asyncio.run(load(serve.url, WARM_UP, seed=1))
        before = [resident_bytes(pid) for pid in pids]

        asyncio.run(load(serve.url, REQUESTS - WARM_UP, seed=2))

        idle = "vllm:num_requests_running"
        until(lambda: serve.metric(idle) == 0, seconds=60, what="every request has ended")
        growth = [now - then for now, then in zip(map(resident_bytes, pids), before, strict=True)]
        print(f"growth in bytes over {REQUESTS - WARM_UP} requests: server {growth[0]}, engine {growth[1]}")
        assert max(growth) < MAY_GROW_BYTES
        assert serve.metric("vllm:kv_cache_usage_perc") == 0
        assert (serve.metric("vllm:num_preemptions_total") > REQUESTS / 100) == ("--swap-space" in flags)
        assert serve.is_healthy()
