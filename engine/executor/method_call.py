"""A call of a method that the user mixed into the workers (`--worker-extension-cls`), and its answer. Torch-free."""

from typing import Any

import msgspec


class MethodCall(msgspec.Struct, array_like=True, frozen=True):
    """For every worker alike; the arguments are what JSON has."""

    method: str
    args: list[Any]
    kwargs: dict[str, Any]


class MethodAnswer(msgspec.Struct, array_like=True, frozen=True):
    """Of one worker."""

    result: Any = None
    """What JSON has."""
    status: int = 200
    """As of HTTP."""
    message: str = ""
    """Why there is no result, in words for the user."""
