"""What the endpoints have in common when an answer becomes JSON."""

import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Protocol

from paddock.server.errors import ApiError
from paddock.server.generation.choice import Piece
from paddock.server.protocol.replies import DONE_EVENT, KEEP_ALIVE_EVENT, PromptTokensDetails, Usage


@dataclass(frozen=True, slots=True)
class ReplyIdentity:
    """The fields that all chunks of one reply share."""

    id: str
    model: str
    created: int

    @staticmethod
    def new(prefix: str, unique: str, model: str) -> "ReplyIdentity":
        return ReplyIdentity(f"{prefix}-{unique}", model, int(time.time()))


class ReplyFormat(Protocol):
    """Writes an answer as one JSON object, or as server-sent events."""

    keep_alive: bytes
    """What a stream sends when it has nothing to say for long."""

    def opening(self) -> bytes:
        """Events before the first token."""
        ...

    def events(self, index: int, piece: Piece, usage: Usage | None) -> bytes:
        """Events of a piece of choice `index`; empty when it has nothing to show."""
        ...

    def closing(self, usage: Usage, shows_usage: bool) -> bytes:
        """Events after the last token."""
        ...

    def failed(self, error: ApiError) -> bytes:
        """Events that end a stream which has begun, in place of the closing."""
        ...

    def whole(self, pieces: list[Piece], usage: Usage) -> bytes: ...


class DoneMarked(ABC):
    """The end of a stream of chunks: usage when asked for, and a mark."""

    keep_alive = KEEP_ALIVE_EVENT

    @abstractmethod
    def usage_event(self, usage: Usage) -> bytes: ...

    def closing(self, usage: Usage, shows_usage: bool) -> bytes:
        return (self.usage_event(usage) if shows_usage else b"") + DONE_EVENT

    def failed(self, error: ApiError) -> bytes:
        return b"data: " + error.envelope() + b"\n\n" + DONE_EVENT


@dataclass(slots=True)
class TokenCount:
    """Running usage of a request: a prompt counts once, whatever n is; completions count over all choices."""

    prompt_tokens: int
    completion_tokens: int = 0
    cached_tokens: int = 0
    shows_cached: bool = False
    """--enable-prompt-tokens-details."""

    generates: bool = True
    """False for max_tokens 0: the one token that the engine cannot do without is not the caller's."""

    def add_completion(self, num_tokens: int) -> None:
        if self.generates:
            self.completion_tokens += num_tokens

    def usage(self) -> Usage:
        return Usage(
            self.prompt_tokens,
            self.completion_tokens,
            self.prompt_tokens + self.completion_tokens,
            PromptTokensDetails(self.cached_tokens) if self.shows_cached else None,
        )
