"""From a sampled token to what its client is told."""

import msgspec

from paddock.engine.executor.plan import SampledRow
from paddock.engine.messages import RequestOutput
from paddock.engine.scheduler.request import Request
from paddock.engine.scheduler.stopping import Finish


def output_of(request: Request, sampled: SampledRow, finish: Finish | None) -> RequestOutput:
    """The token, already among the request's, and whether it was the last."""
    reason, stop_token_id = finish or (None, None)
    output = RequestOutput(
        request.request_id,
        [sampled.token_id],
        logprobs=None if sampled.logprobs is None else [sampled.logprobs],
        finish_reason=reason,
        stop_reason=stop_token_id,
        num_preemptions=request.num_preemptions,
    )
    return output if request.num_generated_tokens > 1 else _with_first_facts(request, output)


def failure_of(request: Request, error: str) -> RequestOutput:
    """The end of a request that got no token."""
    return RequestOutput(
        request.request_id, [], finish_reason="error", num_preemptions=request.num_preemptions, error=error
    )


def _with_first_facts(request: Request, output: RequestOutput) -> RequestOutput:
    """Add what the first output of a request carries and later ones do not."""
    return msgspec.structs.replace(
        output,
        prompt_logprobs=request.prompt_logprobs if request.sampling.prompt_logprobs is not None else None,
        num_cached_tokens=request.num_cached_tokens,
        scheduled_time=request.scheduled_time,
    )
