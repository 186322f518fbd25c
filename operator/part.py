"""What every field of the resource is made of: closed objects, and bounded texts, names and quantities."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

_QUANTITY = r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]+)?$"
_LABEL_NAME = (
    r"^([A-Za-z0-9]([-A-Za-z0-9_.]{0,251}[A-Za-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$"
)
DNS_LABEL = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"
_DNS_NAME = r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$"
DURATION = r"^([0-9]+h)?([0-9]+m)?([0-9]+s)?$"


class Part(BaseModel):
    """A piece of the resource: camelCase outside, closed, immutable."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True, regex_engine="python-re"
    )


def rules(*pairs: tuple[str, str]) -> dict[str, Any]:
    """`json_schema_extra` that carries CEL rules: pairs of (rule, message in the user's words)."""
    return {"x-kubernetes-validations": [{"rule": rule, "message": message} for rule, message in pairs]}


Quantity = Annotated[
    str | int,
    AfterValidator(str),  # as the API server stores it
    Field(json_schema_extra={"x-kubernetes-int-or-string": True, "pattern": _QUANTITY, "anyOf": None}),
]
Quantities = Annotated[dict[str, Quantity], Field(max_length=16)]
Text = Annotated[str, Field(max_length=4096)]
Name = Annotated[str, Field(min_length=1, max_length=253, pattern=_DNS_NAME)]
Key = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")]
LabelName = Annotated[str, Field(min_length=1, max_length=317, pattern=_LABEL_NAME)]
LabelValue = Annotated[
    str, Field(max_length=63, pattern=r"^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$")
]
Duration = Annotated[str, Field(min_length=2, max_length=12, pattern=DURATION)]
Labels = dict[str, LabelValue]
