"""The request of /v1/completions."""

from collections.abc import Callable
from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from paddock.server.protocol.common import INT64, GenerationRequest

DEFAULT_MAX_TOKENS = 16
MAX_CHOICES_IN_ALL = 1_024


class CompletionRequest(GenerationRequest):
    prompt: str | list[Any] = Field(
        description="a text, a list of texts, token ids, or a list of token id lists"
    )
    max_tokens: int | None = Field(DEFAULT_MAX_TOKENS, ge=0, lt=INT64)
    echo: bool = False
    logprobs: int | None = Field(None, ge=0, lt=INT64)
    add_special_tokens: bool = True

    @field_validator("prompt", mode="plain")
    @classmethod
    def _check_prompt(cls, prompt: object) -> object:
        # By hand: a prompt may hold a million ids, and a union would report each of them once per branch.
        if isinstance(prompt, str) or _is_tokens(prompt) or _is_list_of(_is_text, prompt):
            return prompt
        if _is_list_of(_is_tokens, prompt):
            return prompt
        raise ValueError(
            "must be a text, a list of texts, a list of token ids, or a list of such lists; none empty"
        )

    @model_validator(mode="after")
    def _check_completion(self) -> Self:
        if self.max_tokens == 0 and not self.echo:
            raise ValueError("max_tokens 0 needs echo: true, else there is nothing to answer")
        choices = self.n * (len(self.token_prompts) or len(self.text_prompts))
        if choices > MAX_CHOICES_IN_ALL:
            raise ValueError(
                f"prompt times n asks for {choices} choices; {MAX_CHOICES_IN_ALL} are allowed in one request"
            )
        return self

    @property
    def text_prompts(self) -> list[str]:
        """The prompts, when they came as text."""
        if isinstance(self.prompt, str):
            return [self.prompt]
        return self.prompt if isinstance(self.prompt[0], str) else []

    @property
    def token_prompts(self) -> list[list[int]]:
        """The prompts, when they came as token ids."""
        if isinstance(self.prompt, str) or isinstance(self.prompt[0], str):
            return []
        return [self.prompt] if isinstance(self.prompt[0], int) else self.prompt

    def top_logprobs_wanted(self) -> int | None:
        return self.logprobs


def _is_list_of(kind: Callable[[object], bool], value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(map(kind, value))


def _is_tokens(value: object) -> bool:
    return _is_list_of(is_token_id, value)


def is_token_id(value: object) -> bool:
    return type(value) is int and 0 <= value < INT64


def _is_text(value: object) -> bool:
    return isinstance(value, str)
