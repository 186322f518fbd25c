"""Replies and stream chunks, laid out for msgspec: encoding one takes about a microsecond."""

from typing import Any, Literal

import msgspec


class PromptTokensDetails(msgspec.Struct):
    cached_tokens: int = 0


class Usage(msgspec.Struct, omit_defaults=True):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokensDetails | None = None


class TopLogprob(msgspec.Struct):
    token: str
    logprob: float
    bytes: list[int]


class ContentLogprob(msgspec.Struct):
    token: str
    logprob: float
    bytes: list[int]
    top_logprobs: list[TopLogprob]


class ChatLogprobs(msgspec.Struct):
    content: list[ContentLogprob]


class CompletionLogprobs(msgspec.Struct):
    tokens: list[str] = []
    token_logprobs: list[float | None] = []
    top_logprobs: list[dict[str, float] | None] = []
    text_offset: list[int] = []


class ChatMessage(msgspec.Struct):
    content: str
    role: str = "assistant"
    refusal: str | None = None


class ChatChoice(msgspec.Struct):
    index: int
    message: ChatMessage
    finish_reason: str | None
    logprobs: ChatLogprobs | None = None
    stop_reason: str | int | None = None


class Delta(msgspec.Struct, omit_defaults=True):
    role: str | None = None
    content: str | None = None


class ChunkChoice(msgspec.Struct):
    index: int
    delta: Delta
    finish_reason: str | None = None
    logprobs: ChatLogprobs | None = None


class FinishChoice(msgspec.Struct):
    index: int
    delta: Delta
    finish_reason: str | None
    stop_reason: str | int | None = None


class TextChoice(msgspec.Struct):
    index: int
    text: str
    logprobs: CompletionLogprobs | None = None
    finish_reason: str | None = None
    stop_reason: str | int | None = None


PromptLogprobs = list[dict[str, Any] | None]


class Reply(msgspec.Struct, omit_defaults=True):
    """A whole answer, or one chunk of a stream: they differ in `object` and in what the choices hold."""

    id: str
    object: Literal["chat.completion", "chat.completion.chunk", "text_completion"]
    created: int
    model: str
    choices: list[ChatChoice] | list[ChunkChoice | FinishChoice] | list[TextChoice]
    usage: Usage | None = None
    prompt_logprobs: PromptLogprobs | None = None
    """Extension: of the first prompt."""


_encoder = msgspec.json.Encoder()


def event(reply: Reply) -> bytes:
    """One server-sent event."""
    return b"data: " + _encoder.encode(reply) + b"\n\n"


encode_reply = _encoder.encode
DONE_EVENT = b"data: [DONE]\n\n"
KEEP_ALIVE_EVENT = b": keep-alive\n\n"
