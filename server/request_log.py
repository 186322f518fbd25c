"""What is asked and what is answered, in the log, when the operator of the server wants it. Never a key."""

import logging

import msgspec

from paddock.engine.messages import AddRequest
from paddock.server.generation.choice import Piece

logger = logging.getLogger("paddock.server.requests")


def log_request(
    request_id: str, prompt: str | list[int], sequences: list[AddRequest], max_length: int | None
) -> None:
    """--enable-log-requests: the id, the first prompt, its length and the first sequence's sampling parameters."""
    first = sequences[0]
    logger.info(
        "request %s: %d sequence(s), %d prompt tokens, prompt %s, sampling %s",
        request_id,
        len(sequences),
        len(first.prompt_token_ids),
        _cut(prompt, max_length),
        msgspec.json.encode(first.pooling or first.sampling).decode(),
    )


class OutputLog:
    """--enable-log-outputs: one line per choice at its end, streamed or not."""

    def __init__(self, request_id: str, max_length: int | None) -> None:
        self._request_id = request_id
        self._max_length = max_length
        self._open: dict[int, Piece] = {}

    def add(self, index: int, piece: Piece) -> None:
        """What came for choice `index`."""
        said = self._open.setdefault(index, Piece())
        said.text += piece.text
        said.num_tokens += piece.num_tokens
        said.finish_reason = piece.finish_reason
        if said.finish_reason is not None:
            self._write(index, self._open.pop(index))

    def close(self) -> None:
        """The request is over: what has not finished was cut off."""
        for index, said in self._open.items():
            said.finish_reason = "abort"
            self._write(index, said)
        self._open.clear()

    def _write(self, index: int, said: Piece) -> None:
        logger.info(
            "answer %s: choice %d, %d tokens, finish reason %s, text %s",
            self._request_id,
            index,
            said.num_tokens,
            said.finish_reason,
            _cut(said.text, self._max_length),
        )


def _cut(text: str | list[int], max_length: int | None) -> str:
    """The first characters or token ids, and a sign when there are more."""
    if max_length is None or len(text) <= max_length:
        return repr(text)
    return repr(text[:max_length]) + "…"
