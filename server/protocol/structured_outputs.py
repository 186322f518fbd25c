"""Request fields that constrain the form of the output, and the one constraint they come to.

Sizes and nesting are checked here; what a schema, expression or grammar means only the engine knows.
"""

import json
from typing import Annotated, Any, Literal, Protocol, Self

from pydantic import Field, model_validator

from paddock.engine.structured_output.constraint import Constraint, Kind
from paddock.server.protocol.strict_model import StrictModel

MAX_CHARACTERS = 262_144
MAX_DEPTH = 64
MAX_CHOICES_OF_TEXT = 1_024
SHORT = 1_000

Text = Annotated[str, Field(min_length=1, max_length=MAX_CHARACTERS)]
Choices = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=MAX_CHARACTERS)]],
    Field(fail_fast=True, min_length=1, max_length=MAX_CHOICES_OF_TEXT),
]
Pattern = Annotated[str, Field(min_length=1, max_length=SHORT)]


class JsonSchemaFormat(StrictModel):
    name: str = Field(min_length=1, max_length=SHORT)
    description: str | None = None
    schema_: dict[str, Any] | bool = Field(alias="schema")
    strict: bool | None = None
    """True forbids keys that an object's `properties` do not name; the schema is kept in any case."""


class ResponseFormat(StrictModel):
    type: Literal["text", "json_object", "json_schema", "structural_tag"]
    json_schema: JsonSchemaFormat | None = None
    format: dict[str, Any] | None = None
    """Of a structural tag, as xgrammar describes it; the two below are its older form."""

    structures: list[dict[str, Any]] | None = Field(None, min_length=1, max_length=MAX_CHOICES_OF_TEXT)
    triggers: list[str] | None = Field(None, min_length=1, max_length=MAX_CHOICES_OF_TEXT)

    @model_validator(mode="after")
    def _check_type(self) -> Self:
        if (self.type == "json_schema") != (self.json_schema is not None):
            raise ValueError("json_schema belongs to the type json_schema, which needs it")
        older = self.structures is not None and self.triggers is not None
        if self.type == "structural_tag" and older == (self.format is not None):
            raise ValueError("structural_tag needs either format, or structures and triggers")
        if self.type != "structural_tag" and (self.format or self.structures or self.triggers):
            raise ValueError("format, structures and triggers belong to the type structural_tag")
        return self

    def constraint(self) -> Constraint | None:
        """Raises ValueError that begins with the field."""
        if self.type == "text":
            return None
        if self.type == "json_object":
            return Constraint(kind="json_object")
        if self.json_schema is not None:
            text = _written(self.json_schema.schema_, "response_format.json_schema.schema")
            return Constraint(
                kind="json", text=text, disable_additional_properties=bool(self.json_schema.strict)
            )
        tag = self.model_dump(exclude_none=True)
        return Constraint(kind="structural_tag", text=_written(tag, "response_format"))


class StructuredOutputs(StrictModel):
    """Exactly one of the first six."""

    json_: dict[str, Any] | bool | Text | None = Field(None, alias="json")
    regex: Text | None = None
    choice: Choices | None = None
    grammar: Text | None = None
    json_object: bool | None = None
    structural_tag: dict[str, Any] | Text | None = None
    whitespace_pattern: Pattern | None = None
    disable_any_whitespace: bool = False
    disable_additional_properties: bool = False
    disable_fallback: bool = False

    @model_validator(mode="after")
    def _check_one(self) -> Self:
        forms = (self.json_, self.regex, self.choice, self.grammar, self.structural_tag)
        given = sum(form is not None for form in forms) + bool(self.json_object)
        if given != 1:
            raise ValueError(
                f"exactly one of json, regex, choice, grammar, json_object and structural_tag; here are {given}"
            )
        if self.whitespace_pattern is not None and self.json_ is None and not self.json_object:
            raise ValueError("whitespace_pattern needs json or json_object")
        if self.whitespace_pattern is not None and self.disable_any_whitespace:
            raise ValueError("whitespace_pattern contradicts disable_any_whitespace")
        return self

    def constraint(self) -> Constraint:
        """Raises ValueError that begins with the field."""
        kind, text = self._form()
        return Constraint(
            kind=kind,
            text=text,
            whitespace_pattern=self.whitespace_pattern,
            disable_any_whitespace=self.disable_any_whitespace,
            disable_additional_properties=self.disable_additional_properties,
            disable_fallback=self.disable_fallback,
        )

    def _form(self) -> tuple[Kind, str]:
        if self.regex is not None:
            return "regex", self.regex
        if self.choice is not None:
            return "choice", json.dumps(self.choice)
        if self.grammar is not None:
            return "grammar", self.grammar
        if self.structural_tag is not None:
            return "structural_tag", _written(self.structural_tag, "structured_outputs.structural_tag")
        if self.json_ is not None:
            return "json", _written(self.json_, "structured_outputs.json")
        return "json_object", ""


class Guided(StrictModel):
    """The names that `structured_outputs` had before, in requests of their own level."""

    guided_json: dict[str, Any] | bool | Text | None = None
    guided_regex: Text | None = None
    guided_choice: Choices | None = None
    guided_grammar: Text | None = None
    guided_whitespace_pattern: Pattern | None = None

    def as_structured_outputs(self) -> StructuredOutputs | None:
        """Raises ValueError that begins with the field."""
        given = {
            name: value
            for name in ("json", "regex", "choice", "grammar", "whitespace_pattern")
            if (value := getattr(self, f"guided_{name}")) is not None
        }
        if not given:
            return None
        if len(given.keys() - {"whitespace_pattern"}) != 1 or (
            "whitespace_pattern" in given and "json" not in given
        ):
            raise ValueError(
                "guided_json and the other guided_ fields exclude each other, and "
                "guided_whitespace_pattern needs guided_json"
            )
        return StructuredOutputs.model_validate(given)


class MayBeConstrained(Protocol):
    @property
    def response_format(self) -> ResponseFormat | None: ...

    @property
    def structured_outputs(self) -> StructuredOutputs | None: ...

    def as_structured_outputs(self) -> StructuredOutputs | None: ...


def constraint_of(request: MayBeConstrained) -> Constraint | None:
    """The constraint that a request's fields ask for. Raises ValueError that begins with the field at fault."""
    guided = request.as_structured_outputs()
    forms = (request.structured_outputs, guided, request.response_format)
    found = [made for form in forms if form is not None and (made := form.constraint()) is not None]
    if len(found) > 1:
        raise ValueError(
            "structured_outputs cannot be combined with response_format or a guided_ field: send one of them"
        )
    return found[0] if found else None


def _written(value: object, field: str) -> str:
    """As JSON text; a text is read first. Raises ValueError."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{field} is no JSON: {error}") from None
        if not isinstance(value, dict | bool):
            raise ValueError(f"{field} is a text that holds no JSON object")  # noqa: TRY004
    if _depth_exceeds(value, MAX_DEPTH):
        raise ValueError(f"{field} is nested more than {MAX_DEPTH} deep")
    text = json.dumps(value)
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"{field} has {len(text)} characters; at most {MAX_CHARACTERS} are read")
    return text


def _depth_exceeds(value: object, limit: int) -> bool:
    layer = [value]
    for _ in range(limit):
        layer = [
            part
            for each in layer
            if isinstance(each, dict | list)
            for part in (each.values() if isinstance(each, dict) else each)
        ]
        if not layer:
            return False
    return True
