"""One line per accepted request, on request (--enable-log-requests). Never a key, never a whole book."""

import logging

import msgspec

from paddock.engine.messages import AddRequest

logger = logging.getLogger("paddock.server.requests")
MAX_PROMPT_CHARACTERS = 256


def log_request(request_id: str, prompt: str | list[int], sequences: list[AddRequest]) -> None:
    """The caller's id, the prompt's beginning, its length and the sampling parameters of the first sequence."""
    first = sequences[0]
    shown = repr(prompt[:MAX_PROMPT_CHARACTERS])
    more = "…" if len(prompt) > MAX_PROMPT_CHARACTERS else ""
    logger.info(
        "request %s: %d sequence(s), %d prompt tokens, prompt %s%s, sampling %s",
        request_id,
        len(sequences),
        len(first.prompt_token_ids),
        shown,
        more,
        msgspec.json.encode(first.sampling).decode(),
    )
