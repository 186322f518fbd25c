"""What /v1/messages answers."""

from typing import Any, Literal

import msgspec

StopReason = Literal["end_turn", "max_tokens", "stop_sequence", "tool_use"]


class TextOut(msgspec.Struct, tag_field="type", tag="text"):
    text: str = ""


class ThinkingOut(msgspec.Struct, tag_field="type", tag="thinking"):
    thinking: str = ""
    signature: str = ""
    """Always empty: what comes back is taken as it is."""


class ToolUseOut(msgspec.Struct, tag_field="type", tag="tool_use"):
    id: str
    name: str
    input: dict[str, Any] = {}


BlockOut = TextOut | ThinkingOut | ToolUseOut


class MessageUsage(msgspec.Struct):
    input_tokens: int
    """Without those that the cache had."""

    output_tokens: int = 0
    cache_read_input_tokens: int = 0


class MessageReply(msgspec.Struct):
    id: str
    model: str
    content: list[BlockOut]
    usage: MessageUsage
    stop_reason: StopReason | None = None
    stop_sequence: str | None = None
    type: Literal["message"] = "message"
    role: Literal["assistant"] = "assistant"


class TokensCount(msgspec.Struct):
    input_tokens: int
