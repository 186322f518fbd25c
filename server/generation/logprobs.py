"""The engine's log-probabilities in the two shapes of the OpenAI API."""

from typing import Any

from paddock.engine.messages import PositionLogprobs, TokenLogprob
from paddock.server.protocol.replies import ChatLogprobs, CompletionLogprobs, ContentLogprob, TopLogprob
from paddock.server.tokens.tokenizer import Tokenizer

LOWEST_LOGPROB = -9999.0
"""JSON has no -Infinity."""


class LogprobFormat:
    """Words tokens for logprobs: as text with its raw bytes, or as `token_id:7`."""

    def __init__(self, tokenizer: Tokenizer, as_token_ids: bool) -> None:
        self._tokenizer = tokenizer
        self._as_token_ids = as_token_ids

    def chat(self, positions: list[PositionLogprobs]) -> ChatLogprobs:
        return ChatLogprobs([self._content(position) for position in positions])

    def completion(
        self, positions: list[PositionLogprobs | None], tokens: list[int], offsets: list[int], top: int
    ) -> CompletionLogprobs:
        """`positions` is None where there is no value: the first prompt token. `tokens` are the ids at each."""
        reply = CompletionLogprobs([], [], [], offsets)
        for token_id, position in zip(tokens, positions, strict=True):
            reply.tokens.append(self._text(token_id))
            reply.token_logprobs.append(None if position is None else _floored(position[0]))
            reply.top_logprobs.append(None if position is None else self._top(position, top))
        return reply

    def prompt(self, positions: list[PositionLogprobs]) -> list[dict[str, Any] | None]:
        """The extension `prompt_logprobs`: by token id, the first prompt token without any."""
        return [None, *(self._by_id(position) for position in positions)]

    def _content(self, position: PositionLogprobs) -> ContentLogprob:
        sampled = position[0]
        raw = self._tokenizer.token_bytes(sampled.token_id)
        top = [
            TopLogprob(
                self._text(item.token_id), _floored(item), list(self._tokenizer.token_bytes(item.token_id))
            )
            for item in position[1:]
        ]
        return ContentLogprob(self._text(sampled.token_id), _floored(sampled), list(raw), top)

    def _top(self, position: PositionLogprobs, top: int) -> dict[str, float]:
        entries = {self._text(item.token_id): _floored(item) for item in position[1 : top + 1]}
        entries.setdefault(self._text(position[0].token_id), _floored(position[0]))
        return entries

    def _by_id(self, position: PositionLogprobs) -> dict[str, Any]:
        return {
            str(item.token_id): {
                "logprob": _floored(item),
                "rank": item.rank,
                "decoded_token": self._text(item.token_id),
            }
            for item in position
        }

    def _text(self, token_id: int) -> str:
        if self._as_token_ids:
            return f"token_id:{token_id}"
        return self._tokenizer.token_bytes(token_id).decode("utf-8", "replace")


def _floored(item: TokenLogprob) -> float:
    return max(item.logprob, LOWEST_LOGPROB)
