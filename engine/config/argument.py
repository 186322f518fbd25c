"""How one serve argument is declared: its field, its support state and its spelling."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field

EXTRA_KEY = "argument"

ListStyle = Literal["words", "json", "repeat"]
"""How a list is written on the command line: `--f a b`, `--f '["a", "b"]'` or `--f a --f b`."""


class State(StrEnum):
    """What happens when a user sets an argument to something other than its default."""

    WORKS = "works"
    DEPRECATED = "deprecated"
    REFUSED = "refused"
    NOT_YET = "not yet"


@dataclass(frozen=True, slots=True)
class Successor:
    """What replaces a deprecated or removed argument.

    `translate` turns the old value into values of other fields, keyed by path (`("cache", "block_size")`, with
    one more element for a key inside a JSON argument). It returns None for a value it cannot read, which is
    then refused by the old argument's own type.
    """

    text: str
    translate: Callable[[object], dict[tuple[str, ...], object] | None]


@dataclass(frozen=True, slots=True)
class Argument:
    """All that is known of an argument beyond its Python type and bounds."""

    state: State = State.NOT_YET
    reason: str = ""
    supported: tuple[object, ...] | None = None
    """The only values that work so far; None leaves every valid value open (unless the state says otherwise)."""

    refused_values: Mapping[object, str] = field(default_factory=dict)
    """Valid words of the dialect that cannot work here, each with the reason."""

    aliases: tuple[str, ...] = ()
    negation: bool = True
    successor: Successor | None = None
    secret: bool = False
    cluster_reason: str = ""
    """Why the field cannot be changed inside a cluster, where the operator decides it; empty if it can."""

    cluster_minimum: float | None = None
    """Inside a cluster the value must not be lower, whatever the general bound is."""

    cluster_refused: Mapping[object, str] = field(default_factory=dict)
    """Values that work elsewhere and cannot inside a cluster, each with the reason."""

    style: ListStyle = "words"
    bare: object = None
    """The value that the flag has when it stands alone; None means that it needs one."""

    def accepts(self, value: object, default: object) -> bool:
        """Say whether the engine can act on a value that the type already allows."""
        if same(value, default):
            return True
        if self.state in (State.REFUSED, State.NOT_YET):
            return any(same(value, other) for other in self.supported or ())
        if self.supported is None:
            return not any(same(value, other) for other in self.refused_values)
        return any(same(value, other) for other in self.supported)


def same(left: object, right: object) -> bool:
    """Equality that keeps true and 1 apart."""
    return left == right and isinstance(left, bool) == isinstance(right, bool)


@dataclass(frozen=True, slots=True)
class KeyLimit:
    """What a key of a JSON argument takes, where that is less than its type says; it may always be left out."""

    supported: tuple[object, ...]
    reason: str

    def takes(self, value: object) -> bool:
        return any(same(value, other) for other in self.supported)

    @property
    def advice(self) -> str:
        return (
            f"use {' or '.join(map(_spelled, self.supported))}, or leave it out"
            if self.supported
            else "leave it out"
        )


def _spelled(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def arg(
    default: Any,
    description: str,
    *,
    state: State = State.NOT_YET,
    ge: float | None = None,
    gt: float | None = None,
    le: float | None = None,
    lt: float | None = None,
    pattern: str | None = None,
    **traits: Any,
) -> Any:
    """Declare one argument as a pydantic field; `traits` are the other fields of `Argument`."""
    argument = Argument(state=state, **traits)
    if argument.state is State.REFUSED and not argument.reason:
        raise TypeError("a refused argument needs a reason")
    return Field(
        default=default,
        description=description,
        ge=ge,
        gt=gt,
        le=le,
        lt=lt,
        pattern=pattern,
        repr=not argument.secret,
        json_schema_extra=cast(Any, {EXTRA_KEY: argument}),
    )


class Structure(BaseModel):
    """A JSON-valued argument with known keys."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, hide_input_in_errors=True
    )


class Group(Structure):
    """One group of serve arguments: one pydantic field for each flag."""
