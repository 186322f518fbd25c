"""The value types that arguments share, with the technical limits that keep every door bounded."""

import json
from collections.abc import Mapping
from typing import Annotated, Any

from annotated_types import Ge, Le, MaxLen, MinLen
from pydantic import BeforeValidator, Strict

from paddock.engine.config.sizes import size_or_input

INT32_MAX = 2**31 - 1
SIZE_MAX = 2**50
MAX_ITEMS = 64
MAX_KEYS = 32
MAX_TEXT = 1024
MAX_LONG_TEXT = 65536
MAX_JSON_TEXT = 16384
MAX_SECRET_NAME = 253
SECRET_KEY = r"[-._a-zA-Z0-9]+"


class JsonMark:
    """Marks a JSON object with free keys, which the custom resource carries as JSON text."""


class SizeMark:
    """Marks a whole number that may also be written as a size such as 32k."""


def json_or_input(value: object) -> object:
    """Read a JSON object from text; anything else is left for the type check to judge."""
    if isinstance(value, Mapping):
        return dict(value)
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


Whole = Annotated[int, Le(INT32_MAX)]
Size = Annotated[int, BeforeValidator(size_or_input), Le(SIZE_MAX), SizeMark()]
Text = Annotated[str, MaxLen(MAX_TEXT)]
Name = Annotated[str, MinLen(1), MaxLen(MAX_TEXT)]
LongText = Annotated[str, MaxLen(MAX_LONG_TEXT)]
Seed = Annotated[int, Ge(0), Le(2**63 - 1)]
Strings = Annotated[tuple[Name, ...], Strict(False), MaxLen(MAX_ITEMS)]
Wholes = Annotated[tuple[Whole, ...], Strict(False), MaxLen(MAX_ITEMS)]
BatchSizes = Annotated[tuple[Annotated[int, Ge(1), Le(INT32_MAX)], ...], Strict(False), MaxLen(MAX_ITEMS)]
Floats = Annotated[tuple[float, ...], Strict(False), MaxLen(256)]
JsonObject = Annotated[dict[str, Any], BeforeValidator(json_or_input), MaxLen(256), JsonMark()]


def whole_number(value: object) -> object:
    """Refuse true and 8.0 where one of a few whole numbers is expected; a plain literal would take them."""
    if type(value) is not int:
        raise ValueError("not a whole number")
    return value


ExactInt = BeforeValidator(whole_number)
TextMap = Annotated[dict[Text, Text], MaxLen(MAX_KEYS)]
CountMap = Annotated[dict[Text, Annotated[int, Ge(0), Le(INT32_MAX)]], MaxLen(MAX_KEYS)]
