"""Replies of /v1/chat/completions."""

from dataclasses import dataclass
from typing import Literal

from msgspec import UNSET

from paddock.server.generation.choice import Piece
from paddock.server.generation.format import DoneMarked, ReplyIdentity
from paddock.server.generation.logprobs import LogprobFormat
from paddock.server.protocol.replies import (
    ChatChoice,
    ChatLogprobs,
    ChatMessage,
    ChunkChoice,
    Delta,
    FinishChoice,
    Reply,
    Usage,
    encode_reply,
    event,
)

ChatObject = Literal["chat.completion", "chat.completion.chunk"]


@dataclass(frozen=True, slots=True)
class ChatOptions:
    """What of an answer is shown, and who says it. A format is None when the caller asked for none."""

    role: str
    echoed: str
    """The last message, when each choice begins with it."""

    logprobs: LogprobFormat | None
    prompt_logprobs: LogprobFormat | None
    prompt_token_ids: list[int] | None
    """When the caller wants token ids."""


class ChatFormat(DoneMarked):
    def __init__(self, identity: ReplyIdentity, n: int, options: ChatOptions) -> None:
        self._identity = identity
        self._n = n
        self._options = options
        self._logprobs = options.logprobs

    def opening(self) -> bytes:
        """The role of each choice, in order, before any content: clients concatenate strings they meet twice."""
        options = self._options
        opened: list[ChunkChoice | FinishChoice] = [
            ChunkChoice(index, Delta(role=options.role, content=options.echoed)) for index in range(self._n)
        ]
        chunks = [self._reply("chat.completion.chunk", [choice], None) for choice in opened]
        chunks[0].prompt_token_ids = options.prompt_token_ids
        return b"".join(map(event, chunks))

    def events(self, index: int, piece: Piece, usage: Usage | None) -> bytes:
        parts: list[bytes] = []
        if piece.text or piece.token_ids or (self._logprobs is not None and piece.logprobs):
            choice = ChunkChoice(index, Delta(None, piece.text))
            if self._logprobs is not None:
                choice.logprobs = self._logprobs.chat(piece.logprobs)
            if piece.token_ids is not None:
                choice.token_ids = piece.token_ids
            parts.append(self._chunk(choice, usage))
        if piece.finish_reason is not None:
            finish = FinishChoice(index, Delta(), piece.finish_reason, piece.stop_reason)
            parts.append(self._chunk(finish, usage))
        return b"".join(parts)

    def usage_event(self, usage: Usage) -> bytes:
        return event(self._reply("chat.completion.chunk", [], usage))

    def whole(self, pieces: list[Piece], usage: Usage) -> bytes:
        return self._encoded(list(map(self._choice, range(len(pieces)), pieces)), pieces, usage)

    def _encoded(self, choices: list[ChatChoice], pieces: list[Piece], usage: Usage) -> bytes:
        options = self._options
        reply = self._reply("chat.completion", choices, usage)
        reply.prompt_token_ids = options.prompt_token_ids
        if options.prompt_logprobs is not None and pieces[0].prompt_logprobs is not None:
            reply.prompt_logprobs = options.prompt_logprobs.prompt(pieces[0].prompt_logprobs)
        return encode_reply(reply)

    def _choice(self, index: int, piece: Piece) -> ChatChoice:
        return ChatChoice(
            index,
            ChatMessage(self._options.echoed + piece.text, self._options.role),
            piece.finish_reason,
            self._content_logprobs(piece),
            piece.stop_reason,
            UNSET if piece.token_ids is None else piece.token_ids,
        )

    def _content_logprobs(self, piece: Piece) -> ChatLogprobs | None:
        return None if self._logprobs is None else self._logprobs.chat(piece.logprobs)

    def _chunk(self, choice: ChunkChoice | FinishChoice, usage: Usage | None) -> bytes:
        return event(self._reply("chat.completion.chunk", [choice], usage))

    def _reply(
        self,
        kind: ChatObject,
        choices: list[ChatChoice] | list[ChunkChoice | FinishChoice],
        usage: Usage | None,
    ) -> Reply:
        identity = self._identity
        return Reply(identity.id, kind, identity.created, identity.model, choices, usage)
