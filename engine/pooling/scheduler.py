"""The engine's scheduler for models that pool: a request ends where its first token would come."""

from paddock.engine.executor.plan import SampledRow
from paddock.engine.messages import RequestOutput
from paddock.engine.scheduler.output import failure_of
from paddock.engine.scheduler.request import Request
from paddock.engine.scheduler.scheduler import Scheduler


class PoolingScheduler(Scheduler):
    """Chunks, prefixes, preemption and priorities are those of prompts."""

    def _take(self, request: Request, sampled: SampledRow) -> RequestOutput:
        request.num_pending_tokens -= 1
        self._end(request)
        if sampled.pooled is None:
            return failure_of(request, sampled.error or "the model gave no result")
        return RequestOutput(
            request.request_id,
            [],
            finish_reason="stop",
            num_cached_tokens=request.num_cached_tokens,
            scheduled_time=request.scheduled_time,
            num_preemptions=request.num_preemptions,
            pooled=sampled.pooled,
        )
