"""Which series and labels a PromQL expression names: enough of the grammar for what dashboards and rules write."""

import re
from dataclasses import dataclass

KEYWORDS = frozenset(("by", "without", "on", "ignoring", "and", "or", "unless", "bool", "inf", "nan"))
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)")
_RANGE = re.compile(r"\[[^\]]*\]")
_SELECTOR = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)\s*(\{[^}]*\})?")
_CALL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*\s*(?=\()")
_MATCHER = re.compile(r"([a-zA-Z_][a-zA-Z0-9_]*)\s*(?:=~|!~|!=|=)")


@dataclass(frozen=True)
class Named:
    """`labels` by series: what its selector matches on. `grouped`: what the expression groups or joins by."""

    labels: dict[str, frozenset[str]]
    grouped: frozenset[str]


def named_in(expression: str) -> Named:
    """Series and labels. Strings are not looked into."""
    text = _RANGE.sub("", _STRING.sub('""', expression))
    grouped = {label.strip() for found in _GROUPING.findall(text) for label in found.split(",")}
    text = _CALL.sub("", _GROUPING.sub("", text))
    labels: dict[str, frozenset[str]] = {}
    for name, braces in _SELECTOR.findall(text):
        if name not in KEYWORDS:
            labels[name] = labels.get(name, frozenset()) | frozenset(_MATCHER.findall(braces))
    return Named(labels, frozenset(grouped - {""}))
