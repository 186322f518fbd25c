"""The periodic line that says how the engine is doing, while it is doing something."""

import asyncio
import logging
import time
from collections import Counter
from typing import NamedTuple

from paddock.server.metrics import Metrics

logger = logging.getLogger("paddock.server.stats")
INTERVAL_SECONDS = 10.0
MOST_SIZES = 10
"""Of the steps of an interval, that the log tells of."""


class Totals(NamedTuple):
    """What the engines had done at some time."""

    prompt: int = 0
    generated: int = 0
    queries: int = 0
    hits: int = 0

    @classmethod
    def of(cls, metrics: Metrics) -> "Totals":
        every = metrics.every
        return cls(
            sum(each.num_prompt_tokens for each in every),
            sum(each.num_generation_tokens for each in every),
            sum(each.cache_queries.value for each in every),
            sum(each.cache_hits.value for each in every),
        )

    def since(self, earlier: "Totals") -> "Totals":
        return Totals(*(now - then for now, then in zip(self, earlier, strict=True)))


async def follow_stats(
    metrics: Metrics, writes_log: bool, interval_seconds: float = INTERVAL_SECONDS
) -> None:
    """Take the rates of each interval; log them when asked to, silent while nothing happens. Runs until cancelled.

    For the server that follows the engine's steps: the others do not know what the engine does.
    """
    before, then = Totals.of(metrics), time.monotonic()
    while True:
        await asyncio.sleep(interval_seconds)
        after, now = Totals.of(metrics), time.monotonic()
        added, seconds = after.since(before), now - then
        metrics.observe_throughput(added.prompt / seconds, added.generated / seconds)
        is_busy = any(each.stats.num_running or each.stats.num_waiting for each in metrics.every)
        if writes_log and (any(added) or is_busy):
            logger.info(stats_line(metrics, added, seconds))
        before, then = after, now


def stats_line(metrics: Metrics, added: Totals, seconds: float) -> str:
    """Rates of what was added in `seconds`, and the gauges."""
    every = [each.stats for each in metrics.every]
    usage = sum(stats.kv_cache_usage for stats in every) / len(every)
    return (
        f"prompt {added.prompt / seconds:.1f} tokens/s, generation {added.generated / seconds:.1f} tokens/s, "
        f"running {sum(stats.num_running for stats in every)}, "
        f"waiting {sum(stats.num_waiting for stats in every)}, KV cache {usage:.1%}, "
        f"prefix cache hits {added.hits / added.queries if added.queries else 0:.1%}"
    )


async def follow_step_sizes(metrics: Metrics, interval_seconds: float) -> None:
    """Log how many steps had how many tokens in each interval, silent while nothing happens. Runs until cancelled."""
    for each in metrics.every:
        each.step_sizes = Counter()
    while True:
        await asyncio.sleep(interval_seconds)
        sizes: Counter[int] = Counter()
        for each in metrics.every:
            if each.step_sizes is not None:
                sizes += each.step_sizes
                each.step_sizes.clear()
        if sizes:
            logger.info(step_sizes_line(sizes))


def step_sizes_line(sizes: Counter[int]) -> str:
    """The most frequent numbers of tokens, and how many steps had another."""
    listed = sizes.most_common(MOST_SIZES)
    parts = [f"{tokens} in {count}" for tokens, count in listed]
    others = sizes.total() - sum(count for _, count in listed)
    if others:
        parts.append(f"others in {others}")
    return f"tokens of {sizes.total()} steps: {', '.join(parts)}"
