"""The request of /v1/chat/completions."""

from typing import Self

from pydantic import Field, model_validator

from paddock.server.protocol.common import GenerationRequest
from paddock.server.protocol.conversation import Conversation
from paddock.server.protocol.shared_types import INT64
from paddock.server.protocol.tools import ToolChoice, check_tool_choice


class ChatRequest(Conversation, GenerationRequest):
    max_completion_tokens: int | None = Field(None, ge=1, lt=INT64)
    logprobs: bool = False
    top_logprobs: int | None = Field(None, ge=0, le=20)
    echo: bool = False
    tool_choice: ToolChoice = "auto"
    parallel_tool_calls: bool = True
    include_reasoning: bool = True

    @model_validator(mode="after")
    def _check_chat(self) -> Self:
        if self.top_logprobs is not None and not self.logprobs:
            raise ValueError("top_logprobs needs logprobs: true")
        check_tool_choice(self.tool_choice, self.tools or ())
        if self.must_call and self.constraint() is not None:
            raise ValueError(
                "tool_choice demands a call, which no response_format or structured_outputs can be combined with"
            )
        if self.must_call and self.ignore_eos:
            raise ValueError("ignore_eos cannot be combined with a tool_choice that demands a call")
        if self.must_call and self.use_beam_search:
            raise ValueError("use_beam_search cannot be combined with a tool_choice that demands a call")
        return self

    def token_limit(self) -> int | None:
        return self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens

    @property
    def may_call(self) -> bool:
        """The model is free to call functions."""
        return bool(self.tools) and self.tool_choice != "none"

    @property
    def must_call(self) -> bool:
        """The tokens are to be constrained to calls."""
        return bool(self.tools) and self.tool_choice not in ("none", "auto")

    def top_logprobs_wanted(self) -> int | None:
        return (self.top_logprobs or 0) if self.logprobs else None
