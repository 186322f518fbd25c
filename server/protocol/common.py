"""Fields that chat and completion requests share, with their ranges."""

from typing import Any, Self

from pydantic import Field, model_validator

from paddock.engine.structured_output.constraint import Constraint
from paddock.server.protocol.beam import refuse_beam_conflicts
from paddock.server.protocol.sampling_fields import SamplingFields
from paddock.server.protocol.shared_types import INT64, PromptTokenLimit, RequestId
from paddock.server.protocol.strict_model import StrictModel
from paddock.server.protocol.structured_outputs import (
    Guided,
    ResponseFormat,
    StructuredOutputs,
    constraint_of,
)
from paddock.server.protocol.unsupported import NO_EFFECT, NOTHING_ASKED

MAX_CHOICES = 128


class StreamOptions(StrictModel):
    include_usage: bool | None = None
    continuous_usage_stats: bool | None = None
    include_obfuscation: bool | None = None
    """Padding against traffic analysis; a hosted service's matter, accepted without effect."""

    @model_validator(mode="after")
    def _check_continuous(self) -> Self:
        if self.continuous_usage_stats and not self.include_usage:
            raise ValueError("continuous_usage_stats needs include_usage: true")
        return self


class GenerationRequest(SamplingFields, Guided):
    """Sampling, and the shape of the answer: how many choices, in what form, streamed or not."""

    model: str | None = None
    stream: bool = False
    stream_options: StreamOptions | None = None
    response_format: ResponseFormat | None = None
    structured_outputs: StructuredOutputs | None = None
    n: int = Field(1, ge=1, le=MAX_CHOICES)
    use_beam_search: bool = False
    """n is the number of beams then."""

    length_penalty: float = Field(1.0, ge=-10, le=10)
    early_stopping: bool = False
    max_tokens: int | None = Field(None, ge=1, lt=INT64)
    prompt_logprobs: int | None = Field(None, ge=0, lt=INT64)
    return_tokens_as_token_ids: bool | None = None
    """Unset leaves it to the server."""

    return_token_ids: bool = False
    truncate_prompt_tokens: PromptTokenLimit | None = None
    request_id: RequestId | None = None

    @model_validator(mode="before")
    @classmethod
    def _drop_fields_without_effect(cls, fields: dict[str, Any]) -> dict[str, Any]:
        # What is left of NOTHING_ASKED here holds a value that asks for nothing.
        return {
            name: value
            for name, value in fields.items()
            if name in cls.model_fields or (name not in NO_EFFECT and name not in NOTHING_ASKED)
        }

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if self.stream_options is not None and not self.stream:
            raise ValueError("stream_options needs stream: true")
        if self.prompt_logprobs is not None and self.stream:
            raise ValueError("prompt_logprobs cannot be streamed; leave one of the two out")
        refuse_beam_conflicts(self)
        if self.constraint() is not None and self.ignore_eos:
            raise ValueError(
                "ignore_eos cannot be combined with structured output, which ends where its form ends"
            )
        limit = self.token_limit()
        if limit is not None and self.min_tokens > limit:
            raise ValueError(f"min_tokens {self.min_tokens} is above max_tokens {limit}")
        return self

    def token_limit(self) -> int | None:
        """Most tokens the caller wants; None leaves it to the context."""
        return self.max_tokens

    @property
    def chooses(self) -> bool:
        """Whether more answers are generated than shown."""
        return False

    def constraint(self) -> Constraint | None:
        """The form that the output must have. Raises ValueError that begins with the field at fault."""
        return constraint_of(self)

    def top_logprobs_wanted(self) -> int | None:
        """How many top log-probabilities per generated token; None for none at all."""
        raise NotImplementedError
