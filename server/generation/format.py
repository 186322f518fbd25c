"""What the two endpoints have in common when an answer becomes JSON."""

import time
from dataclasses import dataclass
from typing import Protocol

from paddock.server.generation.choice import Piece
from paddock.server.protocol.replies import PromptTokensDetails, Usage


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

    def opening(self) -> bytes:
        """Events before the first token."""
        ...

    def events(self, index: int, piece: Piece, usage: Usage | None) -> bytes:
        """Events of a piece of choice `index`; empty when it has nothing to show."""
        ...

    def usage_event(self, usage: Usage) -> bytes: ...

    def whole(self, pieces: list[Piece], usage: Usage) -> bytes: ...


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
