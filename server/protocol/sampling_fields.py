"""How tokens are chosen and where an answer stops: fields that every generating endpoint shares, with their ranges."""

from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from paddock.server.protocol.shared_types import INT64
from paddock.server.protocol.strict_model import StrictModel

MAX_STOPS = 64
MAX_BIASES = 4_096
MAX_STOP_CHARACTERS = 1_000
MAX_STOP_TOKENS = 1_024
MAX_ALLOWED_TOKENS = 16_384
MAX_BAD_WORDS = 256
MAX_BAD_WORD_CHARACTERS = 200
MAX_PROCESSORS = 16
TokenId = Annotated[int, Field(ge=0, lt=INT64)]


class NamedProcessor(StrictModel):
    """A logits processor of the user's own; a bare string is its name."""

    qualname: str = Field(min_length=1, max_length=256)
    kwargs: dict[str, Any] = Field(default={})

    @model_validator(mode="before")
    @classmethod
    def _name_alone(cls, value: Any) -> Any:
        return {"qualname": value} if isinstance(value, str) else value


class SamplingFields(StrictModel):
    """Unset sampling values come from the model's generation config."""

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
    priority: int = Field(0, ge=-INT64, lt=INT64)
    cache_salt: str | None = Field(None, min_length=1, max_length=1_024)

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
