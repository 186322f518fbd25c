"""The values that one source gives (command line, file or environment), before the sources are merged."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from paddock.engine.config.argument import Successor
from paddock.engine.config.catalogue import Entry
from paddock.engine.config.naming import flag_of
from paddock.engine.config.problems import Problem
from paddock.engine.config.removed import Removed
from paddock.engine.config.serve import ServeConfig
from paddock.engine.config.translation import place, replace_deprecated

Field = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Sourced:
    """A configuration, and for every argument that is not at its default what set it."""

    config: ServeConfig
    sources: Mapping[Field, str]


@dataclass(slots=True)
class Layer:
    """Raw values by group and field, where each came from, and what is wrong already."""

    values: dict[str, dict[str, Any]] = field(default_factory=dict)
    origins: dict[Field, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    retired: dict[str, tuple[Removed, object, str]] = field(default_factory=dict)
    source: str = ""
    """What the layer was read from."""

    sources: dict[Field, str] = field(default_factory=dict)
    """In a merged layer, what each value was read from."""

    def put(self, entry: Entry, value: object, origin: str = "") -> None:
        """Set a value; the last one given counts."""
        self.values.setdefault(entry.group, {})[entry.name] = value
        if origin:
            self.origins[entry.group, entry.name] = origin

    def get(self, entry: Entry) -> Any:
        """The value given so far, or None."""
        return self.values.get(entry.group, {}).get(entry.name)

    def retire(self, removed: Removed, value: object, origin: str) -> None:
        """Note a flag of an older release; it is dealt with once all the others are read."""
        self.retired[removed.name] = (removed, value, origin)

    def settle(self) -> None:
        """Translate what older releases called differently."""
        for removed, value, origin in self.retired.values():
            if removed.successor is None:
                self.problems.append(
                    Problem((), f"removed: {removed.reason}", origin=origin, unsupported=True)
                )
            else:
                self._translate(removed.successor, value, origin)
        self.values, moves, problems = replace_deprecated(self.values)
        self.problems += problems
        for move in moves:
            self.warnings.append(move.warning)
            self._name(move.targets, self.origins.get((move.entry.group, move.entry.name), move.entry.flag))

    def _translate(self, successor: Successor, value: object, origin: str) -> None:
        moved = successor.translate(value)
        if moved is None:
            self.problems.append(Problem((), f"removed; use {successor.text}", origin=origin))
            return
        self.warnings.append(f"{origin} is removed: use {successor.text}")
        for problem in place(self.values, moved, ("", ""), successor):
            self.problems.append(Problem((), problem.message, origin=origin))
        self._name(moved, origin)

    def _name(self, targets: Iterable[tuple[str, ...]], origin: str) -> None:
        for group, name, *_ in targets:
            self.origins.setdefault((group, name), f"{flag_of(name)} (from {origin})")


def merge(layers: Iterable[Layer]) -> Layer:
    """Lay sources over each other, the strongest last; one argument comes whole from one source."""
    merged = Layer()
    for layer in layers:
        for group, fields in layer.values.items():
            for name, value in fields.items():
                merged.values.setdefault(group, {})[name] = value
                merged.origins.pop((group, name), None)
                merged.sources[group, name] = layer.sources.get((group, name), layer.source)
        merged.origins |= layer.origins
        merged.problems += layer.problems
        merged.warnings += layer.warnings
    return merged
