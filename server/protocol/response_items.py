"""Items of a Responses conversation, as callers send them and as earlier answers come back."""

from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from paddock.server.protocol.strict_model import StrictModel

MAX_ITEMS = 10_000
Status = Literal["in_progress", "completed", "incomplete"]


class _Item(StrictModel):
    """As in a request itself, null is the same as leaving a field out: clients send back what they hold of an answer."""

    @model_validator(mode="before")
    @classmethod
    def _drop_nulls(cls, fields: Any) -> Any:
        if not isinstance(fields, dict):
            return fields
        return {name: value for name, value in fields.items() if value is not None}


class TextContent(_Item):
    """Text of a message. What clients send back of an answer holds more than the text."""

    type: Literal["input_text", "output_text", "text"]
    text: str
    annotations: list[Any] | None = Field(None, max_length=0)
    logprobs: list[Any] | None = None


class RefusalContent(_Item):
    type: Literal["refusal"]
    refusal: str


MessageContent = Annotated[
    list[Annotated[TextContent | RefusalContent, Field(discriminator="type")]], Field(fail_fast=True)
]


class MessageItem(_Item):
    """`type` may be left out."""

    type: Literal["message"] = "message"
    role: Literal["user", "assistant", "system", "developer"]
    content: str | MessageContent
    id: str | None = None
    status: Status | None = None
    phase: Literal["commentary", "final_answer"] | None = None


class ReasoningText(StrictModel):
    type: Literal["reasoning_text", "summary_text"]
    text: str


class ReasoningItem(_Item):
    type: Literal["reasoning"]
    id: str | None = None
    summary: Annotated[list[ReasoningText], Field(fail_fast=True)] = Field(default=[])
    content: Annotated[list[ReasoningText], Field(fail_fast=True)] | None = None
    encrypted_content: None = None
    """Written by another service, and readable there alone."""

    status: Status | None = None


class FunctionCallItem(_Item):
    type: Literal["function_call"]
    call_id: str
    name: str
    arguments: str
    id: str | None = None
    status: Status | None = None


class FunctionOutputItem(_Item):
    type: Literal["function_call_output"]
    call_id: str
    output: str | Annotated[list[TextContent], Field(fail_fast=True)]
    id: str | None = None
    status: Status | None = None


def _kind(value: Any) -> str:
    kind = value.get("type", "message") if isinstance(value, dict) else getattr(value, "type", "")
    return kind if isinstance(kind, str) else ""


Item = Annotated[
    Annotated[MessageItem, Tag("message")]
    | Annotated[ReasoningItem, Tag("reasoning")]
    | Annotated[FunctionCallItem, Tag("function_call")]
    | Annotated[FunctionOutputItem, Tag("function_call_output")],
    Discriminator(_kind),
]


class ResponseTool(StrictModel):
    """A function of the caller's: there are no tools of the server's own."""

    type: Literal["function"]
    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class ChosenFunction(StrictModel):
    type: Literal["function"]
    name: str


class AllowedTools(StrictModel):
    """Only these of the tools may be called."""

    type: Literal["allowed_tools"]
    mode: Literal["auto", "required"]
    tools: list[ChosenFunction] = Field(min_length=1)


class TextFormat(StrictModel):
    type: Literal["text", "json_object", "json_schema"]
    name: str | None = None
    description: str | None = None
    schema_: dict[str, Any] | bool | None = Field(None, alias="schema")
    strict: bool | None = None

    @model_validator(mode="after")
    def _check_schema(self) -> Self:
        if self.type == "json_schema" and (self.schema_ is None or self.name is None):
            raise ValueError("json_schema needs name and schema")
        if self.type != "json_schema" and (self.schema_ is not None or self.name is not None):
            raise ValueError("name and schema belong to the type json_schema")
        return self
