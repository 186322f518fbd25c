"""Fields that chat and completion requests share, with their ranges."""

from typing import Annotated, Any, Self

from pydantic import Field, field_validator, model_validator

from paddock.engine.structured_output.constraint import Constraint
from paddock.server.middleware.request_id import MAX_CHARACTERS, is_sane
from paddock.server.protocol.beam import refuse_beam_conflicts
from paddock.server.protocol.strict_model import StrictModel
from paddock.server.protocol.structured_outputs import (
    Guided,
    ResponseFormat,
    StructuredOutputs,
    constraint_of,
)
from paddock.server.protocol.unsupported import NO_EFFECT, NOTHING_ASKED

INT64 = 2**63
MAX_CHOICES = 128
MAX_STOPS = 64
MAX_BIASES = 4_096
MAX_STOP_CHARACTERS = 1_000
MAX_STOP_TOKENS = 1_024
MAX_ALLOWED_TOKENS = 16_384
MAX_BAD_WORDS = 256
MAX_BAD_WORD_CHARACTERS = 200
MAX_PROCESSORS = 16
TokenId = Annotated[int, Field(ge=0, lt=INT64)]


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


class NamedProcessor(StrictModel):
    """A logits processor of the user's own; a bare string is its name."""

    qualname: str = Field(min_length=1, max_length=256)
    kwargs: dict[str, Any] = Field(default={})

    @model_validator(mode="before")
    @classmethod
    def _name_alone(cls, value: Any) -> Any:
        return {"qualname": value} if isinstance(value, str) else value


class GenerationRequest(Guided):
    """Sampling, stopping and output options; unset sampling values come from the model's generation config."""

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
    min_tokens: int = Field(0, ge=0, lt=INT64)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    top_k: int | None = Field(None, ge=-1, lt=INT64)
    min_p: float | None = Field(None, ge=0, le=1)
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    repetition_penalty: float | None = Field(None, gt=0)
    seed: int | None = Field(None, ge=-INT64, lt=INT64)
    stop: list[str] = Field(default=[], max_length=MAX_STOPS)
    stop_token_ids: list[TokenId] = Field(default=[], max_length=MAX_STOP_TOKENS)
    include_stop_str_in_output: bool = False
    ignore_eos: bool = False
    skip_special_tokens: bool = True
    spaces_between_special_tokens: bool = True
    logit_bias: dict[int, float] = Field(default={})
    allowed_token_ids: Annotated[list[TokenId], Field(fail_fast=True)] | None = Field(
        None, min_length=1, max_length=MAX_ALLOWED_TOKENS
    )
    bad_words: list[str] = Field(default=[], max_length=MAX_BAD_WORDS)
    logits_processors: list[NamedProcessor] = Field(default=[], max_length=MAX_PROCESSORS)
    vllm_xargs: dict[str, Any] = Field(default={})
    prompt_logprobs: int | None = Field(None, ge=0, lt=INT64)
    return_tokens_as_token_ids: bool | None = None
    """Unset leaves it to the server."""

    return_token_ids: bool = False
    truncate_prompt_tokens: int | None = Field(None, ge=-1, lt=INT64)
    priority: int = Field(0, ge=-INT64, lt=INT64)
    cache_salt: str | None = Field(None, min_length=1, max_length=1_024)
    request_id: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _drop_fields_without_effect(cls, fields: dict[str, Any]) -> dict[str, Any]:
        # What is left of NOTHING_ASKED here holds a value that asks for nothing.
        return {
            name: value
            for name, value in fields.items()
            if name not in NO_EFFECT and name not in NOTHING_ASKED
        }

    @field_validator("stop", mode="before")
    @classmethod
    def _one_stop_is_a_list(cls, value: object) -> object:
        return [value] if isinstance(value, str) else value

    @field_validator("stop")
    @classmethod
    def _check_stop(cls, stops: list[str]) -> list[str]:
        if any(not stop or len(stop) > MAX_STOP_CHARACTERS for stop in stops):
            raise ValueError(f"each stop string must have 1 to {MAX_STOP_CHARACTERS} characters")
        return stops

    @field_validator("bad_words")
    @classmethod
    def _check_bad_words(cls, words: list[str]) -> list[str]:
        if any(not word.strip() or len(word) > MAX_BAD_WORD_CHARACTERS for word in words):
            raise ValueError(
                f"each must have 1 to {MAX_BAD_WORD_CHARACTERS} characters, not all of them spaces"
            )
        return words

    @field_validator("logits_processors")
    @classmethod
    def _check_processors(cls, processors: list[NamedProcessor]) -> list[NamedProcessor]:
        if len({processor.qualname for processor in processors}) < len(processors):
            raise ValueError("names one processor twice")
        return processors

    @field_validator("logit_bias", mode="before")
    @classmethod
    def _read_token_ids(cls, value: object) -> object:
        if not isinstance(value, dict):
            return value
        if len(value) > MAX_BIASES:
            raise ValueError(f"holds {len(value)} tokens; at most {MAX_BIASES} are allowed")
        if not all(
            isinstance(key, str) and key.isascii() and key.isdigit() and len(key) < 19 for key in value
        ):
            raise ValueError("keys must be token ids, written as integers in quotes")
        return {int(key): bias for key, bias in value.items()}

    @field_validator("truncate_prompt_tokens")
    @classmethod
    def _check_truncation(cls, value: int | None) -> int | None:
        if value == 0:
            raise ValueError("must be -1 (what the context holds) or at least 1")
        return value

    @field_validator("request_id")
    @classmethod
    def _check_request_id(cls, value: str) -> str:
        if not is_sane(value):
            raise ValueError(f"must be 1 to {MAX_CHARACTERS} visible ASCII characters")
        return value

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

    def constraint(self) -> Constraint | None:
        """The form that the output must have. Raises ValueError that begins with the field at fault."""
        return constraint_of(self)

    def top_logprobs_wanted(self) -> int | None:
        """How many top log-probabilities per generated token; None for none at all."""
        raise NotImplementedError
