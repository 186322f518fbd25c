"""Requests of /v1/responses."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, field_validator, model_validator

from paddock.server.errors import bad_request
from paddock.server.protocol.response_items import (
    MAX_ITEMS,
    AllowedTools,
    ChosenFunction,
    Item,
    ResponseTool,
    TextFormat,
)
from paddock.server.protocol.sampling_fields import SamplingFields
from paddock.server.protocol.shared_types import INT64
from paddock.server.protocol.strict_model import StrictModel
from paddock.server.protocol.tools import MAX_TOOLS

MAX_METADATA = 16
LOGPROBS = "message.output_text.logprobs"
NO_EFFECT = frozenset(
    {
        "max_tool_calls",
        "prompt_cache_key",
        "prompt_cache_retention",
        "safety_identifier",
        "service_tier",
        "user",
    }
)
"""Accepted because they ask nothing of a server like this one: it has no tools of its own to limit, for example."""

REFUSED = {
    "prompt": "no prompt is kept here; send its text as instructions",
    "conversation": "no conversation is kept here; send previous_response_id, or the items as input",
    "context_management": "nothing is compacted here; truncation auto leaves old turns out",
    "moderation": "nothing is moderated here",
}

Metadata = dict[
    Annotated[str, StringConstraints(max_length=64)], Annotated[str, StringConstraints(max_length=512)]
]


class ReasoningOptions(StrictModel):
    effort: Literal["none", "minimal", "low", "medium", "high", "xhigh"] | None = None
    summary: None = None
    """Nothing is summarized: the reasoning itself is shown."""

    generate_summary: None = None


class TextOptions(StrictModel):
    format: TextFormat | None = None
    verbosity: Literal["low", "medium", "high"] | None = None
    """Accepted without effect."""


class ResponseStreamOptions(StrictModel):
    include_obfuscation: bool | None = None
    """Accepted without effect."""


class _Conversation(StrictModel):
    model: str | None = None
    input: str | Annotated[list[Item], Field(fail_fast=True, min_length=1, max_length=MAX_ITEMS)] = Field(
        description="a text, or the items of a conversation"
    )
    instructions: str | None = None
    previous_response_id: str | None = Field(None, min_length=1)
    tools: Annotated[list[ResponseTool], Field(fail_fast=True)] = Field(default=[], max_length=MAX_TOOLS)
    tool_choice: Literal["none", "auto", "required"] | ChosenFunction | AllowedTools = "auto"
    parallel_tool_calls: bool = True
    reasoning: ReasoningOptions | None = None
    text: TextOptions | None = None
    truncation: Literal["auto", "disabled"] = "disabled"
    chat_template_kwargs: dict[str, Any] = Field(default={})

    @model_validator(mode="before")
    @classmethod
    def _drop_fields_without_effect(cls, fields: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in fields.items() if name not in NO_EFFECT}

    @field_validator("input")
    @classmethod
    def _check_text(cls, value: Any) -> Any:
        if value == "":
            raise ValueError("must not be empty")
        return value


class CountRequest(_Conversation):
    """Of /v1/responses/input_tokens."""


class ResponseRequest(_Conversation, SamplingFields):
    max_output_tokens: int | None = Field(None, ge=1, lt=INT64)
    include: list[Literal["message.output_text.logprobs", "reasoning.encrypted_content"]] = Field(default=[])
    """The second is without effect: reasoning is sent in the open, and read so when it comes back."""

    top_logprobs: int | None = Field(None, ge=0, le=20)
    metadata: Metadata = Field(default={}, max_length=MAX_METADATA)
    store: bool | None = None
    """Unset stores it where responses can be stored."""

    background: bool = False
    stream: bool = False
    stream_options: ResponseStreamOptions | None = None

    @model_validator(mode="after")
    def _check_response(self) -> Self:
        if self.top_logprobs is not None and LOGPROBS not in self.include:
            raise ValueError(f"top_logprobs needs include: [{LOGPROBS!r}]")
        if self.background and self.store is False:
            raise ValueError("background needs store: the answer is fetched later")
        if self.stream_options is not None and not self.stream:
            raise ValueError("stream_options needs stream: true")
        return self


def refuse_unknown_services(fields: Mapping[str, Any]) -> None:
    """Raise ApiError 400 for the first field that asks for what a hosted service alone has."""
    for name, instead in REFUSED.items():
        if fields.get(name) is not None:
            raise bad_request(f"{name}: {instead}.", name)
