"""Conditions over arguments, written once and read two ways: run in Python and printed as CEL.

CEL (Common Expression Language) is what the Kubernetes API server evaluates for
`x-kubernetes-validations`; the subset here is that of the Kubernetes CEL libraries.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from paddock.engine.config.argument import same
from paddock.engine.config.sizes import UNITS

Values = Mapping[str, Any]
"""Argument groups by name; each value has the group's fields as attributes."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Where a printed condition stands: how it names (group, field), and what it may count on."""

    path: Callable[[str, str], str]
    """As in CEL, such as `self.cache.blockSize`."""

    is_filled: Callable[[str, str], bool]
    """Whether the API server has written a default into the field before it evaluates rules."""


@dataclass(frozen=True, slots=True, eq=False)
class Term:
    """A value or a condition."""

    evaluate: Callable[[Values], Any]
    cel: Callable[[Scope], str]
    fields: tuple[tuple[str, str], ...] = ()

    def __ge__(self, other: object) -> "Term":
        return _binary(self, term(other), ">=", lambda left, right: left >= right)

    def __le__(self, other: object) -> "Term":
        return _binary(self, term(other), "<=", lambda left, right: left <= right)

    def __lt__(self, other: object) -> "Term":
        return _binary(self, term(other), "<", lambda left, right: left < right)

    def __mod__(self, other: object) -> "Term":
        return _binary(self, term(other), "%", lambda left, right: left % right)

    def equals(self, other: object) -> "Term":
        """Compare for equality; `==` itself stays Python's."""
        return _binary(self, term(other), "==", same)

    def __or__(self, other: "Term") -> "Term":
        return Term(
            lambda values: self.evaluate(values) or other.evaluate(values),
            lambda scope: f"({self.cel(scope)} || {other.cel(scope)})",
            self.fields + other.fields,
        )

    def __and__(self, other: "Term") -> "Term":
        return Term(
            lambda values: self.evaluate(values) and other.evaluate(values),
            lambda scope: f"({self.cel(scope)} && {other.cel(scope)})",
            self.fields + other.fields,
        )

    def __invert__(self) -> "Term":
        return Term(
            lambda values: not self.evaluate(values), lambda scope: f"!{self.cel(scope)}", self.fields
        )


def term(value: object) -> Term:
    """Wrap a constant, unless it is a term already."""
    if isinstance(value, Term):
        return value
    return Term(lambda _: value, lambda _: literal(value))


def literal(value: object) -> str:
    """Print a constant in CEL, whose literals are those of JSON."""
    return json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)


def is_set(field: str) -> Term:
    """Whether the user, or a default, gave the field (`group.name`) a value."""
    group, name = field.split(".")
    return Term(
        lambda values: getattr(values[group], name) is not None,
        lambda scope: f"has({scope.path(group, name)})",
        ((group, name),),
    )


def value(field: str, default: object, size: bool = False) -> Term:
    """The field's value, or `default` where it is unset; `size` fields may hold text such as 32k.

    A look-up costs the API server time in proportion to all fields of the group, present or not, and it evaluates every
    rule at each write of the status too: none is printed that the schema's own defaults make needless.
    """
    group, name = field.split(".")

    def evaluate(values: Values) -> Any:
        found = getattr(values[group], name)
        return default if found is None else found

    def cel(scope: Scope) -> str:
        path = scope.path(group, name)
        if scope.is_filled(group, name):
            return size_in_cel(path) if size else path
        number, constant = (size_in_cel(path), f"{default}.0") if size else (path, literal(default))
        return f"(has({path}) ? {number} : {constant})"

    return Term(evaluate, cel, ((group, name),))


def size_in_cel(path: str) -> str:
    """Print a size, which is a number or text such as 32k, as a CEL double."""
    units = ", ".join(f"'{unit}': {factor}.0" for unit, factor in UNITS.items())
    text = f"string({path})"
    return f"(double({text}.find('^[0-9.]+')) * {{{units}}}[{text}.find('[kmgtKMGT]$')])"


def _binary(left: Term, right: Term, sign: str, compute: Callable[[Any, Any], Any]) -> Term:
    return Term(
        lambda values: compute(left.evaluate(values), right.evaluate(values)),
        lambda scope: f"({left.cel(scope)} {sign} {right.cel(scope)})",
        left.fields + right.fields,
    )
