"""Replies of /v1/chat/completions."""

from typing import Literal

from paddock.server.generation.choice import Piece
from paddock.server.generation.format import ReplyIdentity
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


class ChatFormat:
    """`logprobs` is None when the caller asked for none."""

    def __init__(
        self,
        identity: ReplyIdentity,
        n: int,
        role: str,
        logprobs: LogprobFormat | None,
        prompt_logprobs: LogprobFormat | None,
    ) -> None:
        self._identity = identity
        self._n = n
        self._role = role
        self._logprobs = logprobs
        self._prompt_logprobs = prompt_logprobs

    def opening(self) -> bytes:
        """The role of each choice, in order, before any content: clients concatenate strings they meet twice."""
        return b"".join(
            self._chunk(ChunkChoice(index, Delta(role=self._role, content="")), None)
            for index in range(self._n)
        )

    def events(self, index: int, piece: Piece, usage: Usage | None) -> bytes:
        parts: list[bytes] = []
        if piece.text or (self._logprobs is not None and piece.logprobs):
            choice = ChunkChoice(index, Delta(content=piece.text), logprobs=self._content_logprobs(piece))
            parts.append(self._chunk(choice, usage))
        if piece.finish_reason is not None:
            finish = FinishChoice(index, Delta(), piece.finish_reason, piece.stop_reason)
            parts.append(self._chunk(finish, usage))
        return b"".join(parts)

    def usage_event(self, usage: Usage) -> bytes:
        return event(self._reply("chat.completion.chunk", [], usage))

    def whole(self, pieces: list[Piece], usage: Usage) -> bytes:
        choices = [
            ChatChoice(
                index,
                ChatMessage(piece.text, self._role),
                piece.finish_reason,
                self._content_logprobs(piece),
                piece.stop_reason,
            )
            for index, piece in enumerate(pieces)
        ]
        reply = self._reply("chat.completion", choices, usage)
        if self._prompt_logprobs is not None and pieces[0].prompt_logprobs is not None:
            reply.prompt_logprobs = self._prompt_logprobs.prompt(pieces[0].prompt_logprobs)
        return encode_reply(reply)

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
