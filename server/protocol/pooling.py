"""Requests of the routes that answer with vectors and scores."""

from typing import Annotated, Any, Literal

from pydantic import AliasChoices, Field, field_validator, model_validator

from paddock.server.protocol.inputs import check_inputs, texts_of, token_lists_of
from paddock.server.protocol.shared_types import INT64, PromptTokenLimit, RequestId
from paddock.server.protocol.strict_model import StrictModel
from paddock.server.protocol.unsupported import NO_EFFECT

MAX_INPUTS = 2_048
Texts = Annotated[list[str], Field(min_length=1, max_length=MAX_INPUTS, fail_fast=True)]


class PoolingFields(StrictModel):
    """What all of them take."""

    model: str | None = None
    truncate_prompt_tokens: PromptTokenLimit | None = None
    priority: int = Field(0, ge=-INT64, lt=INT64)
    request_id: RequestId | None = None

    @model_validator(mode="before")
    @classmethod
    def _drop_fields_without_effect(cls, fields: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in fields.items() if name not in NO_EFFECT}


class InputFields(PoolingFields):
    input: str | list[Any] = Field(
        description="a text, a list of texts, token ids, or a list of token id lists"
    )
    add_special_tokens: bool = True

    @field_validator("input", mode="plain")
    @classmethod
    def _check_input(cls, value: object) -> Any:
        checked = check_inputs(value)
        count = len(texts_of(checked) or token_lists_of(checked))
        if count > MAX_INPUTS:
            raise ValueError(f"holds {count} inputs; {MAX_INPUTS} are allowed in one request")
        return checked

    @property
    def texts(self) -> list[str]:
        return texts_of(self.input)

    @property
    def token_lists(self) -> list[list[int]]:
        return token_lists_of(self.input)


class ActivatedFields(PoolingFields):
    activation: bool | None = Field(None, validation_alias=AliasChoices("activation", "use_activation"))
    """Whether scores go through the model's activation; unset leaves it to the model."""


class EmbeddingRequest(InputFields):
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = Field(None, ge=1, lt=INT64)
    normalize: bool | None = None


class PoolingRequest(InputFields, ActivatedFields):
    task: Literal["embed", "token_embed", "classify", "token_classify"] | None = None
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = Field(None, ge=1, lt=INT64)
    normalize: bool | None = None


class ClassifyRequest(InputFields, ActivatedFields):
    pass


class ScoreRequest(ActivatedFields):
    text_1: str | Texts
    text_2: str | Texts

    @model_validator(mode="after")
    def _check_pairs(self) -> "ScoreRequest":
        first, second = self.firsts, self.seconds
        if len(first) not in (1, len(second)):
            raise ValueError(
                f"text_1 has {len(first)} texts and text_2 has {len(second)}; give one, or as many as text_2"
            )
        return self

    @property
    def firsts(self) -> list[str]:
        return [self.text_1] if isinstance(self.text_1, str) else self.text_1

    @property
    def seconds(self) -> list[str]:
        return [self.text_2] if isinstance(self.text_2, str) else self.text_2


class Document(StrictModel):
    text: str

    @model_validator(mode="before")
    @classmethod
    def _text_alone(cls, value: Any) -> Any:
        return {"text": value} if isinstance(value, str) else value


class RerankRequest(ActivatedFields):
    query: str
    documents: Annotated[list[Document], Field(min_length=1, max_length=MAX_INPUTS, fail_fast=True)]
    top_n: int | None = Field(None, ge=0, lt=INT64)
    """0 and unset return all."""

    return_documents: bool = True
