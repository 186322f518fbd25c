"""Requests of /tokenize and /detokenize."""

from typing import Any

from pydantic import Field, field_validator

from paddock.server.protocol.conversation import Conversation
from paddock.server.protocol.inputs import is_token_id
from paddock.server.protocol.strict_model import StrictModel


class TokenizeText(StrictModel):
    model: str | None = None
    prompt: str
    add_special_tokens: bool = True
    return_token_strs: bool = False


class TokenizeMessages(Conversation):
    model: str | None = None
    return_token_strs: bool = False


class DetokenizeRequest(StrictModel):
    model: str | None = None
    tokens: list[Any] = Field(description="token ids")

    @field_validator("tokens", mode="plain")
    @classmethod
    def _check_tokens(cls, tokens: object) -> object:
        # By hand, as for prompts: a wrong list may be long, and each element would be an error of its own.
        if isinstance(tokens, list) and all(map(is_token_id, tokens)):
            return tokens
        raise ValueError("must be a list of token ids")
