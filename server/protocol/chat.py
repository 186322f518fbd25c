"""The request of /v1/chat/completions."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from paddock.server.protocol.common import INT64, GenerationRequest, StrictModel


class TextPart(StrictModel):
    type: Literal["text"]
    text: str


# The first wrong element is enough: an error for each of a million would fill the memory.
Parts = Annotated[list[TextPart], Field(fail_fast=True)]


class FunctionCall(StrictModel):
    name: str
    arguments: str


class ToolCall(StrictModel):
    id: str
    type: Literal["function"] = "function"
    function: FunctionCall


class _Message(StrictModel):
    name: str | None = None


class InstructionMessage(_Message):
    role: Literal["system", "developer", "user"]
    content: str | Parts


class AssistantMessage(_Message):
    """An earlier answer, as clients send it back: with the null fields of a reply, and its reasoning."""

    role: Literal["assistant"]
    content: str | Parts | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    tool_calls: Annotated[list[ToolCall], Field(fail_fast=True)] | None = None
    refusal: str | None = None
    annotations: list[Any] | None = Field(None, max_length=0)
    audio: None = None
    function_call: None = None

    @model_validator(mode="after")
    def _check_something_said(self) -> Self:
        if self.content is None and not self.tool_calls:
            raise ValueError("an assistant message needs content or tool_calls")
        return self


class ToolMessage(_Message):
    role: Literal["tool"]
    content: str | Parts
    tool_call_id: str


Message = Annotated[InstructionMessage | AssistantMessage | ToolMessage, Field(discriminator="role")]


class ChatRequest(GenerationRequest):
    messages: Annotated[list[Message], Field(fail_fast=True)] = Field(min_length=1)
    max_completion_tokens: int | None = Field(None, ge=1, lt=INT64)
    logprobs: bool = False
    top_logprobs: int | None = Field(None, ge=0, le=20)
    echo: Literal[False] = False
    add_generation_prompt: bool = True
    continue_final_message: bool = False
    add_special_tokens: bool = False
    documents: Annotated[list[dict[str, Any]], Field(fail_fast=True)] | None = None
    chat_template_kwargs: dict[str, Any] = Field(default={})

    @model_validator(mode="before")
    @classmethod
    def _continue_opens_no_turn(cls, fields: dict[str, Any]) -> dict[str, Any]:
        # The default of add_generation_prompt gives way; only an explicit true contradicts.
        if fields.get("continue_final_message") is True and "add_generation_prompt" not in fields:
            return {**fields, "add_generation_prompt": False}
        return fields

    @model_validator(mode="after")
    def _check_chat(self) -> Self:
        if self.continue_final_message and self.add_generation_prompt:
            raise ValueError("continue_final_message and add_generation_prompt cannot both be true")
        if self.top_logprobs is not None and not self.logprobs:
            raise ValueError("top_logprobs needs logprobs: true")
        return self

    def token_limit(self) -> int | None:
        return self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens

    def top_logprobs_wanted(self) -> int | None:
        return (self.top_logprobs or 0) if self.logprobs else None
