"""Workers take keys from the queue and reconcile them; what fails is tried again later, never in a hot loop."""

from __future__ import annotations

import asyncio
import logging
import time

import aiohttp

from paddock.operator.client import ApiError, NotLeading
from paddock.operator.metrics import Metrics
from paddock.operator.reconcile import Reconciler
from paddock.operator.service_metrics import ServiceMetrics
from paddock.operator.workqueue import Key, WorkQueue

logger = logging.getLogger(__name__)

PASS_SECONDS = 120.0
SECOND_LOOK_SECONDS = 1.0
"""After a change of ours; what follows from it mostly comes as news before."""


async def work(queue: WorkQueue, reconciler: Reconciler, metrics: Metrics) -> None:
    """One worker, for ever. No error of one key ends it."""
    while True:
        key = await queue.take()
        started = time.monotonic()
        try:
            result = await _pass(key, queue, reconciler, metrics.services)
        finally:
            queue.done(key)
        metrics.reconciles.labels(result).inc()
        metrics.reconcile_seconds.observe(time.monotonic() - started)


async def _pass(key: Key, queue: WorkQueue, reconciler: Reconciler, services: ServiceMetrics) -> str:
    """One pass and what follows from it. Returns its result for the metrics."""
    try:
        async with asyncio.timeout(PASS_SECONDS):
            outcome = await reconciler.reconcile(key)
    except NotLeading as error:
        # The Lease may be renewed late and kept, and then nobody else looks at this key.
        logger.warning("%s/%s: %s; again in %.1f s", *key, error, queue.retry(key))
        return "failed"
    except ApiError as error:
        # 409: somebody was quicker, and what is there now is read again. The others: the namespace is going.
        expected = error.status in (404, 409) or "being terminated" in error.message
        level = logging.INFO if expected else logging.WARNING
        delay = queue.retry(key, error.retry_after)
        logger.log(level, "%s/%s: %s; again in %.1f s", *key, error, delay)
        return "failed"
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        delay = queue.retry(key)
        logger.warning(
            "%s/%s: no answer (%s); again in %.1f s", *key, str(error) or type(error).__name__, delay
        )
        return "failed"
    except Exception:
        logger.exception("%s/%s: unexpected; again in %.1f s", *key, queue.retry(key))
        return "failed"
    if outcome.again is None:
        queue.schedule.forget(key)
        services.forget(key)
        return "gone"
    if outcome.status:
        services.saw(key, outcome.status)
    if outcome.changed:
        logger.info("%s/%s: %d objects changed", *key, outcome.changed)
    queue.succeeded(key, changed=bool(outcome.changed))
    # What our own writes brought about is no news to us: one more look, and then the regular ones.
    queue.add(key, SECOND_LOOK_SECONDS if outcome.changed else outcome.again)
    return "changed" if outcome.changed else "settled"
