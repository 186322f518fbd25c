"""What the CEL rules of our own CustomResourceDefinition may call; `find`, `duration` and `getSeconds` are those of the
Kubernetes CEL libraries."""

import re
from collections.abc import Callable, Mapping
from typing import Any


class CelError(Exception):
    """A rule that cannot be read, or that meets a value it is not written for."""


def equal(left: Any, right: Any) -> bool:
    """CEL's equality, which keeps true and 1 apart."""
    return left == right and isinstance(left, bool) == isinstance(right, bool)


OPERATORS: Mapping[str, Callable[[Any, Any], Any]] = {
    "==": equal,
    "!=": lambda left, right: not equal(left, right),
    "<": lambda left, right: left < right,
    "<=": lambda left, right: left <= right,
    ">": lambda left, right: left > right,
    ">=": lambda left, right: left >= right,
    "in": lambda left, right: any(equal(left, each) for each in right),
    "+": lambda left, right: left + right,
    "-": lambda left, right: left - right,
    "*": lambda left, right: left * right,
    "/": lambda left, right: left / right,
    "%": lambda left, right: left % right,
}


def find(text: str, pattern: str) -> str:
    """The first match of a regular expression, empty if there is none."""
    match = re.search(re2(pattern), text)
    return match[0] if match else ""


def re2(pattern: str) -> str:
    """Python's `$` also matches before a last line end; RE2's does not."""
    return re.sub(r"(?<!\\)\$", r"\\Z", pattern)


def _seconds(text: str) -> int:
    units = {"h": 3600, "m": 60, "s": 1}
    return sum(int(number) * units[unit] for number, unit in re.findall(r"(\d+)([hms])", text))


FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "size": len,
    "string": str,
    "double": float,
    "int": int,
    "duration": _seconds,
}
METHODS: Mapping[str, Callable[..., Any]] = {
    "size": len,
    "matches": lambda text, pattern: re.search(re2(pattern), text) is not None,
    "find": find,
    "contains": lambda text, part: part in text,
    "startsWith": lambda text, part: text.startswith(part),
    "endsWith": lambda text, part: text.endswith(part),
    "getSeconds": lambda seconds: seconds,
}
