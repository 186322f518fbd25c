"""Messages, and how a template makes a prompt of them: what chat and tokenize requests share."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from paddock.server.protocol.strict_model import StrictModel
from paddock.server.protocol.tools import Tools, check_tools

MAX_TEMPLATE_CHARACTERS = 1_000_000
RESERVED_VARIABLES = frozenset(
    {
        "messages",
        "tools",
        "documents",
        "add_generation_prompt",
        "continue_final_message",
        "tokenize",
        "chat_template",
    }
)
"""Template variables that are request fields of their own."""


class TextPart(StrictModel):
    type: Literal["text"]
    text: str


# The first wrong element is enough: an error for each of a million would fill the memory.
Parts = Annotated[list[TextPart], Field(fail_fast=True)]


class FunctionCall(StrictModel):
    name: str
    arguments: str
    parsed_arguments: Any = None
    """The official client's own, which sends back the message that it joined from a stream."""


class ToolCall(StrictModel):
    id: str
    index: int | None = None
    """Left over from a stream, too; the place in the list is what counts."""

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


def text_of(message: Message) -> str:
    if message.content is None or isinstance(message.content, str):
        return message.content or ""
    return "\n".join(part.text for part in message.content)


class Conversation(StrictModel):
    messages: Annotated[list[Message], Field(fail_fast=True)] = Field(min_length=1)
    tools: Tools | None = None
    add_generation_prompt: bool = True
    continue_final_message: bool = False
    add_special_tokens: bool = False
    documents: Annotated[list[dict[str, Any]], Field(fail_fast=True)] | None = None
    chat_template: str | None = Field(None, min_length=1, max_length=MAX_TEMPLATE_CHARACTERS)
    chat_template_kwargs: dict[str, Any] = Field(default={})
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh"] | None = None

    @field_validator("chat_template_kwargs")
    @classmethod
    def _check_variables(cls, variables: dict[str, Any]) -> dict[str, Any]:
        reserved = sorted(RESERVED_VARIABLES & variables.keys())
        if reserved:
            raise ValueError(f"cannot hold {reserved[0]}; send it as a field of the request")
        return variables

    @model_validator(mode="before")
    @classmethod
    def _continue_opens_no_turn(cls, fields: dict[str, Any]) -> dict[str, Any]:
        # The default of add_generation_prompt gives way; only an explicit true contradicts.
        if fields.get("continue_final_message") is True and "add_generation_prompt" not in fields:
            return {**fields, "add_generation_prompt": False}
        return fields

    @model_validator(mode="after")
    def _check_turn(self) -> Self:
        check_tools(self.tools or ())
        if self.continue_final_message and self.add_generation_prompt:
            raise ValueError("continue_final_message and add_generation_prompt cannot both be true")
        return self
