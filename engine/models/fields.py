"""Checked reading of a configuration's keys. Torch-free."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from paddock.engine.models.errors import CheckpointError


@dataclass(frozen=True)
class ConfigFields:
    """The keys of config.json under the names that most families use; every reader raises `CheckpointError`."""

    values: Mapping[str, Any] = field(default_factory=dict)
    source: str = "config.json"

    def get(self, name: str) -> Any:
        """As it stands, None where it is absent."""
        return self.values.get(name)

    def count(
        self, name: str, default: int | None = None, minimum: int = 1, maximum: int | None = None
    ) -> int:
        value = self._value(name, default)
        whole = isinstance(value, int) and not isinstance(value, bool)
        if not whole or value < minimum or (maximum is not None and value > maximum):
            most = "" if maximum is None else f" and at most {maximum}"
            raise CheckpointError(
                f"{self.source}: {name} is {value!r}; expected a whole number of at least {minimum}{most}."
            )
        return int(value)

    def number(self, name: str, default: float | None = None) -> float:
        """Finite and above 0."""
        value = self._value(name, default)
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < math.inf:
            raise CheckpointError(f"{self.source}: {name} is {value!r}; expected a number above 0.")
        return float(value)

    def divisor_of(self, whole_name: str, whole: int, name: str, default: int) -> int:
        """A count that divides another key's value."""
        value = self.count(name, default)
        if whole % value:
            raise CheckpointError(f"{self.source}: {name} {value} does not divide {whole_name} {whole}.")
        return value

    def flag(self, name: str, default: bool = False) -> bool:
        value = self._value(name, default)
        if not isinstance(value, bool):
            raise CheckpointError(f"{self.source}: {name} is {value!r}; expected true or false.")
        return value

    def one_of(self, name: str, allowed: tuple[str, ...], default: str) -> str:
        value = self._value(name, default)
        if value not in allowed:
            raise CheckpointError(
                f"{self.source}: {name} {value!r} is not supported; use {' or '.join(map(repr, allowed))}."
            )
        return str(value)

    def indices(self, name: str) -> frozenset[int]:
        """A list of layer numbers; absent is empty."""
        value = self._value(name, [])
        if not isinstance(value, list) or not all(type(item) is int for item in value):
            raise CheckpointError(f"{self.source}: {name} is {value!r}; expected a list of layer numbers.")
        return frozenset(value)

    def _value(self, name: str, default: Any) -> Any:
        value = self.values.get(name)
        return default if value is None else value
