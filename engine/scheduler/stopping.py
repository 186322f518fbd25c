"""When a sequence ends. Stop strings are the API server's: they are matched on text."""

from paddock.engine.messages import FinishReason
from paddock.engine.scheduler.request import Request

Finish = tuple[FinishReason, int | None]
"""The finish reason, and the stop token of the request's own that ended it (None for EOS and length)."""


def finish_after(request: Request) -> Finish | None:
    """Does the last known token, just generated, end the request?

    A token that may stop wins over the length reached with it. The first `min_tokens` tokens end nothing but a
    sequence that has no room left.
    """
    token_id = request.token_ids[-1]
    is_due = request.num_generated_tokens > request.sampling.min_tokens
    if request.is_constrained and token_id in request.eos_token_ids:
        # Only where its form has come to an end is such a request given EOS.
        is_due = True
    if token_id in request.ending_token_ids and is_due:
        return "stop", None if token_id in request.eos_token_ids else token_id
    if len(request.token_ids) >= request.max_length:
        return "length", None
    return None
