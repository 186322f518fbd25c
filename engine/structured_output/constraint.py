"""What a request asks of the form of its output, as it travels from the API server to the engine."""

from typing import Literal

import msgspec

Kind = Literal["json", "json_object", "regex", "choice", "grammar", "structural_tag", "text"]
"""Any text fits "text"; its thinking may have bounds all the same."""


class Thinking(msgspec.Struct, array_like=True, frozen=True):
    """The output may begin with thinking, which is free; the constraint holds for what follows it."""

    start_ids: tuple[int, ...]
    """Tokens of which each opens the thinking."""

    end_ids: tuple[int, ...]
    """Tokens of which each ends it."""

    begun: bool
    """The output begins inside it; else it may begin with one of `start_ids`, or with the answer at once."""

    budget: int | None = None
    """Most tokens inside; the next one is then the first of `end_ids`."""


class Constraint(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One form, and how strictly it is meant. The API server has checked the sizes, not the meaning."""

    kind: Kind
    text: str = ""
    """A JSON schema, a regular expression, a grammar or a structural tag; of choices a JSON list of strings."""

    whitespace_pattern: str | None = None
    """A regular expression for the space between the parts of JSON."""

    disable_any_whitespace: bool = False
    disable_additional_properties: bool = False
    disable_fallback: bool = False

    thinking: Thinking | None = None


def cache_key(constraint: Constraint) -> bytes:
    """Equal for constraints that compile to the same."""
    return msgspec.msgpack.encode(msgspec.structs.replace(constraint, thinking=None))
