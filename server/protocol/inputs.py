"""What may stand for one text or several: texts or token ids."""

from collections.abc import Callable
from typing import Any

from paddock.server.protocol.shared_types import INT64


def check_inputs(value: object) -> Any:
    """The value as it is. By hand: it may hold a million ids, and a union would report each of them once per branch."""
    if isinstance(value, str) or _is_tokens(value) or _is_list_of(_is_text, value):
        return value
    if _is_list_of(_is_tokens, value):
        return value
    raise ValueError(
        "must be a text, a list of texts, a list of token ids, or a list of such lists; none empty"
    )


def texts_of(value: str | list[Any]) -> list[str]:
    """The inputs, when they came as text."""
    if isinstance(value, str):
        return [value]
    return value if isinstance(value[0], str) else []


def token_lists_of(value: str | list[Any]) -> list[list[int]]:
    """The inputs, when they came as token ids."""
    if isinstance(value, str) or isinstance(value[0], str):
        return []
    return [value] if isinstance(value[0], int) else value


def is_token_id(value: object) -> bool:
    return type(value) is int and 0 <= value < INT64


def _is_list_of(kind: Callable[[object], bool], value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(map(kind, value))


def _is_tokens(value: object) -> bool:
    return _is_list_of(is_token_id, value)


def _is_text(value: object) -> bool:
    return isinstance(value, str)
