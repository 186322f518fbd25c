"""The request of /v1/completions."""

from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from paddock.server.protocol.common import MAX_CHOICES, GenerationRequest
from paddock.server.protocol.inputs import check_inputs, texts_of, token_lists_of
from paddock.server.protocol.shared_types import INT64

DEFAULT_MAX_TOKENS = 16
MAX_CHOICES_IN_ALL = 1_024


class CompletionRequest(GenerationRequest):
    prompt: str | list[Any] = Field(
        description="a text, a list of texts, token ids, or a list of token id lists"
    )
    max_tokens: int | None = Field(DEFAULT_MAX_TOKENS, ge=0, lt=INT64)
    best_of: int | None = Field(None, ge=1, le=MAX_CHOICES)
    echo: bool = False
    logprobs: int | None = Field(None, ge=0, lt=INT64)
    add_special_tokens: bool = True

    @field_validator("prompt", mode="plain")
    @classmethod
    def _check_prompt(cls, prompt: object) -> Any:
        return check_inputs(prompt)

    @model_validator(mode="after")
    def _check_completion(self) -> Self:
        if self.max_tokens == 0 and not self.echo:
            raise ValueError("max_tokens 0 needs echo: true, else there is nothing to answer")
        self._check_best_of()
        choices = self.num_generated * (len(self.token_prompts) or len(self.text_prompts))
        if choices > MAX_CHOICES_IN_ALL:
            raise ValueError(
                f"prompt times n asks for {choices} choices; {MAX_CHOICES_IN_ALL} are allowed in one request"
            )
        return self

    def _check_best_of(self) -> None:
        if self.best_of is None:
            return
        if self.best_of < self.n:
            raise ValueError(f"best_of {self.best_of} is below n {self.n}")
        if self.best_of > self.n and (self.stream or self.use_beam_search):
            other = "stream" if self.stream else "use_beam_search"
            raise ValueError(f"best_of above n cannot be combined with {other}; leave one of the two out")

    @property
    def num_generated(self) -> int:
        """Answers to each prompt, of which n are shown."""
        return self.best_of or self.n

    @property
    def chooses(self) -> bool:
        return self.num_generated > self.n

    @property
    def text_prompts(self) -> list[str]:
        """The prompts, when they came as text."""
        return texts_of(self.prompt)

    @property
    def token_prompts(self) -> list[list[int]]:
        """The prompts, when they came as token ids."""
        return token_lists_of(self.prompt)

    def top_logprobs_wanted(self) -> int | None:
        return 0 if self.logprobs is None and self.chooses else self.logprobs
