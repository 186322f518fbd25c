"""The load itself: requests start on time, never more at once than allowed, with progress on standard error."""

import asyncio
import contextlib
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Never

import aiohttp
import msgspec
from tqdm import tqdm

from paddock.server.bench.api import RequestSettings
from paddock.server.bench.outcome import Outcome
from paddock.server.bench.sample import Sample
from paddock.server.bench.stream_client import new_session, send


@dataclass(frozen=True, slots=True)
class Target:
    """Where requests go, and under which names."""

    url: str
    models: Sequence[str]
    """One is drawn for each request."""

    headers: dict[str, str]
    request_id_prefix: str
    settings: RequestSettings


@dataclass(frozen=True, slots=True)
class Run:
    outcomes: list[Outcome]
    """In the order of the samples."""

    seconds: float


async def warm_up(target: Target, samples: Sequence[Sample], count: int) -> list[Outcome]:
    """Requests that are not counted, all at once."""
    async with new_session(target.headers) as session:
        bodies = [_body(target, samples[at % len(samples)], target.models[0]) for at in range(count)]
        began = time.perf_counter()
        prefix = target.request_id_prefix
        sending = [
            send(session, target.url, body, f"{prefix}warmup-{at}", began) for at, body in enumerate(bodies)
        ]
        return list(await asyncio.gather(*sending))


async def run_load(
    target: Target,
    samples: Sequence[Sample],
    times: Sequence[float],
    max_concurrency: int | None,
    seed: int,
    show_progress: bool,
) -> Run:
    """`times` are seconds from the start, one for each sample."""
    draw = random.Random(seed)
    # Written before the clock runs: a client that encodes JSON is late with the next request.
    bodies = [_body(target, sample, draw.choice(target.models)) for sample in samples]
    slots = contextlib.nullcontext() if max_concurrency is None else asyncio.Semaphore(max_concurrency)
    with tqdm(total=len(bodies), unit="request", disable=not show_progress) as progress:
        async with new_session(target.headers) as session:
            began = time.perf_counter()
            outcomes = await asyncio.gather(
                *(
                    _send_at(at, body, target, session, slots, began, progress)
                    for at, body in zip(times, enumerate(bodies), strict=True)
                )
            )
            return Run(list(outcomes), time.perf_counter() - began)


async def _send_at(
    at: float,
    numbered: tuple[int, bytes],
    target: Target,
    session: aiohttp.ClientSession,
    slots: contextlib.AbstractAsyncContextManager[None],
    began: float,
    progress: "tqdm[Never]",
) -> Outcome:
    number, body = numbered
    wait = at - (time.perf_counter() - began)
    if wait > 0:
        await asyncio.sleep(wait)
    async with slots:
        outcome = await send(session, target.url, body, f"{target.request_id_prefix}{number}", began)
    progress.update()
    return outcome


def _body(target: Target, sample: Sample, model: str) -> bytes:
    body = target.settings.body(model, sample)
    return msgspec.json.encode({name: value for name, value in body.items() if value is not None})
