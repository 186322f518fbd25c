"""The periodic line that says how the engine is doing, while it is doing something."""

import asyncio
import logging
import time

from paddock.server.metrics import Metrics

logger = logging.getLogger("paddock.server.stats")
INTERVAL_SECONDS = 10.0


async def log_stats(metrics: Metrics, interval_seconds: float = INTERVAL_SECONDS) -> None:
    """Log rates over each interval; silent while nothing happens. Runs until cancelled."""
    before = _totals(metrics)
    then = time.monotonic()
    while True:
        await asyncio.sleep(interval_seconds)
        now, after = time.monotonic(), _totals(metrics)
        if after != before or metrics.stats.num_running or metrics.stats.num_waiting:
            logger.info(stats_line(metrics, before, now - then))
        before, then = after, now


def stats_line(metrics: Metrics, before: tuple[int, int, int, int], seconds: float) -> str:
    """Rates since `before` (prompt tokens, generated tokens, cache queries, cache hits), and the gauges."""
    prompt, generated, queries, hits = (
        now - then for now, then in zip(_totals(metrics), before, strict=True)
    )  # fmt: skip
    stats = metrics.stats
    return (
        f"prompt {prompt / seconds:.1f} tokens/s, generation {generated / seconds:.1f} tokens/s, "
        f"running {stats.num_running}, waiting {stats.num_waiting}, KV cache {stats.kv_cache_usage:.1%}, "
        f"prefix cache hits {hits / queries if queries else 0:.1%}"
    )


def _totals(metrics: Metrics) -> tuple[int, int, int, int]:
    return (
        metrics.prompt_tokens.value,
        metrics.generation_tokens.value,
        metrics.cache_queries.value,
        metrics.cache_hits.value,
    )
