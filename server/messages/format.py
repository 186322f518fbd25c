"""Replies of /v1/messages."""

from collections.abc import Iterator
from typing import Any

import msgspec

from paddock.server.errors import ApiError
from paddock.server.generation.choice import Piece
from paddock.server.generation.read_choice import ReadChoice
from paddock.server.messages.errors import error_object
from paddock.server.protocol.message_replies import (
    BlockOut,
    MessageReply,
    MessageUsage,
    StopReason,
    TextOut,
    ThinkingOut,
    ToolUseOut,
)
from paddock.server.protocol.replies import Usage
from paddock.server.tools.parts import CallArguments, CallBegin, CallEnd, Content, Part, Reasoning

STOP_REASONS: dict[str | None, StopReason] = {"length": "max_tokens", "tool_calls": "tool_use"}
_encode = msgspec.json.Encoder().encode


class MessageFormat:
    """Fills in `message` while its one choice is generated."""

    keep_alive = b'event: ping\ndata: {"type":"ping"}\n\n'

    def __init__(self, message: MessageReply, choice: ReadChoice, shows_thinking: bool) -> None:
        self._message = message
        self._choice = choice
        self._shows_thinking = shows_thinking
        self._open: BlockOut | None = None
        self._texts: list[str] = []

    def opening(self) -> bytes:
        return _event("message_start", message=self._message) + self.keep_alive

    def events(self, index: int, piece: Piece, usage: Usage | None) -> bytes:
        return b"".join(self._read(piece))

    def closing(self, usage: Usage, shows_usage: bool) -> bytes:
        """Usage is part of every message."""
        message = self._message
        message.usage = _usage(usage)
        delta = {"stop_reason": message.stop_reason, "stop_sequence": message.stop_sequence}
        return _event("message_delta", delta=delta, usage=message.usage) + _event("message_stop")

    def failed(self, error: ApiError) -> bytes:
        return _event("error", error=error_object(error.status, error.message))

    def whole(self, pieces: list[Piece], usage: Usage) -> bytes:
        for _ in self._read(pieces[0]):
            pass  # the events of an answer that nobody streams
        self._message.usage = _usage(usage)
        return _encode(self._message)

    def _read(self, piece: Piece) -> Iterator[bytes]:
        for part in self._choice.parts(piece):
            yield from self._add(part)
        if piece.finish_reason is None:
            return
        yield from self._close(whole=False)
        message = self._message
        if piece.finish_reason == "stop" and isinstance(piece.stop_reason, str):
            message.stop_reason, message.stop_sequence = "stop_sequence", piece.stop_reason
        else:
            message.stop_reason = STOP_REASONS.get(self._choice.finish_reason(piece), "end_turn")

    def _add(self, part: Part) -> Iterator[bytes]:
        match part:
            case Content(text):
                yield from self._grow(TextOut, {"type": "text_delta", "text": text})
                self._texts.append(text)
            case Reasoning(text) if self._shows_thinking:
                yield from self._grow(ThinkingOut, {"type": "thinking_delta", "thinking": text})
                self._texts.append(text)
            case CallBegin(name, call_id):
                yield from self._close()
                yield self._begin(ToolUseOut(call_id or self._choice.parser.new_call_id(), name))
            case CallArguments(text):
                yield self._delta({"type": "input_json_delta", "partial_json": text})
                self._texts.append(text)
            case CallEnd():
                yield from self._close()

    def _grow(self, kind: type[TextOut] | type[ThinkingOut], delta: dict[str, Any]) -> Iterator[bytes]:
        if not isinstance(self._open, kind):
            yield from self._close()
            yield self._begin(kind())
        yield self._delta(delta)

    def _begin(self, block: BlockOut) -> bytes:
        self._open = block
        return _event("content_block_start", index=len(self._message.content), content_block=block)

    def _delta(self, delta: dict[str, Any]) -> bytes:
        return _event("content_block_delta", index=len(self._message.content), delta=delta)

    def _close(self, whole: bool = True) -> Iterator[bytes]:
        """A call that is not whole has no input to show; the events have told what there was of it."""
        block, text = self._open, "".join(self._texts)
        if block is None:
            return
        if isinstance(block, ThinkingOut):
            block.thinking = text
            yield self._delta({"type": "signature_delta", "signature": block.signature})
        elif isinstance(block, TextOut):
            block.text = text
        elif whole:
            block.input = msgspec.json.decode(text or "{}")
        yield _event("content_block_stop", index=len(self._message.content))
        self._message.content.append(block)
        self._open, self._texts = None, []


def _usage(usage: Usage) -> MessageUsage:
    cached = usage.prompt_tokens_details.cached_tokens if usage.prompt_tokens_details is not None else 0
    return MessageUsage(usage.prompt_tokens - cached, usage.completion_tokens, cached)


def _event(kind: str, **fields: Any) -> bytes:
    return b"event: " + kind.encode() + b"\ndata: " + _encode({"type": kind, **fields}) + b"\n\n"
