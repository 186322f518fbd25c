"""Requests of /v1/messages, in the form of Anthropic's API."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from paddock.server.protocol.message_blocks import CacheControl, Texts, Turn
from paddock.server.protocol.sampling_fields import MAX_STOPS
from paddock.server.protocol.shared_types import INT64
from paddock.server.protocol.strict_model import StrictModel
from paddock.server.protocol.tools import MAX_TOOLS

MAX_TURNS = 100_000
LEAST_THINKING = 1_024
NO_EFFECT = frozenset({"cache_control", "inference_geo", "metadata", "service_tier"})
"""Accepted because they ask nothing of a server like this one."""


class MessageTool(StrictModel):
    """A function of the caller's: there are no tools of the server's own."""

    type: Literal["custom"] = "custom"
    name: str
    description: str | None = None
    input_schema: dict[str, Any]
    strict: bool | None = None
    cache_control: CacheControl | None = None


class MayCall(StrictModel):
    type: Literal["auto", "any"]
    disable_parallel_tool_use: bool = False


class MustCall(StrictModel):
    type: Literal["tool"]
    name: str
    disable_parallel_tool_use: bool = False


class NoCall(StrictModel):
    type: Literal["none"]


class ThinkingOn(StrictModel):
    type: Literal["enabled"]
    budget_tokens: int = Field(ge=LEAST_THINKING, lt=INT64)
    """After so many tokens the thinking is ended, and the answer begins."""

    display: Literal["omitted"] | None = None


class ThinkingByModel(StrictModel):
    type: Literal["adaptive"]
    display: Literal["omitted"] | None = None


class ThinkingOff(StrictModel):
    type: Literal["disabled"]


class JsonOutput(StrictModel):
    type: Literal["json_schema"]
    schema_: dict[str, Any] = Field(alias="schema")


class OutputOptions(StrictModel):
    effort: Literal["low", "medium", "high", "xhigh"] | None = None
    format: JsonOutput | None = None


class CountTokensRequest(StrictModel):
    """Of /v1/messages/count_tokens, and what both routes have in common."""

    model: str
    messages: Annotated[list[Turn], Field(fail_fast=True)] = Field(min_length=1, max_length=MAX_TURNS)
    system: str | Texts | None = None
    tools: Annotated[list[MessageTool], Field(fail_fast=True)] = Field(default=[], max_length=MAX_TOOLS)
    tool_choice: Annotated[MayCall | MustCall | NoCall, Field(discriminator="type")] | None = None
    thinking: Annotated[ThinkingOn | ThinkingByModel | ThinkingOff, Field(discriminator="type")] | None = None
    output_config: OutputOptions | None = None

    @model_validator(mode="before")
    @classmethod
    def _drop_fields_without_effect(cls, fields: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in fields.items() if name not in NO_EFFECT}


class MessagesRequest(CountTokensRequest):
    max_tokens: int = Field(ge=1, lt=INT64)
    stop_sequences: list[str] = Field(default=[], max_length=MAX_STOPS)
    stream: bool = False
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    top_k: int | None = Field(None, ge=0, lt=INT64)

    @model_validator(mode="after")
    def _check_thinking(self) -> Self:
        if isinstance(self.thinking, ThinkingOn) and self.thinking.budget_tokens >= self.max_tokens:
            raise ValueError("thinking.budget_tokens must be below max_tokens")
        return self

    @property
    def thinking_budget(self) -> int | None:
        """In tokens."""
        return self.thinking.budget_tokens if isinstance(self.thinking, ThinkingOn) else None
