"""Every argument there is, listed once and found by group, field or flag."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from typing import Any, cast

from pydantic.fields import FieldInfo

from paddock.engine.config.argument import EXTRA_KEY, Argument, State
from paddock.engine.config.groups import GROUPS
from paddock.engine.config.kinds import Kind, kind_of
from paddock.engine.config.naming import camel, flag_of, negation_of

SPEC_PATHS: Mapping[tuple[str, str], str] = {
    ("model", "model"): "spec.model.uri",
    ("worker", "backend"): "spec.backend",
    ("sglang", "model_path"): "spec.model.uri",
    ("sglang", "api_key"): "spec.frontend.apiKeySecretRef",
}
"""The few arguments that are not a field of their group: in a cluster the model names a source."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One argument with all its names."""

    group: str
    name: str
    argument: Argument
    kind: Kind
    default: Any
    description: str

    @property
    def flag(self) -> str:
        """The long flag."""
        return flag_of(self.name)

    @property
    def negation(self) -> str | None:
        """The flag that sets a boolean to false, if there is one."""
        return negation_of(self.name) if self.kind.base == "bool" and self.argument.negation else None

    @property
    def spec_field(self) -> str:
        """The field inside its group of an InferenceService; a secret is there by reference only."""
        return camel(self.name) + ("SecretRef" if self.argument.secret else "")

    @property
    def spec_path(self) -> str:
        """The whole field path in an InferenceService."""
        elsewhere = SPEC_PATHS.get((self.group, self.name))
        return elsewhere or f"spec.{camel(self.group)}.{self.spec_field}"

    @property
    def deprecated(self) -> bool:
        """Whether the field only exists to be translated."""
        return self.argument.state is State.DEPRECATED


@cache
def entries() -> tuple[Entry, ...]:
    """List every argument, by group and then in order of declaration."""
    return tuple(
        entry_of(group, name, info)
        for group, cls in GROUPS.items()
        for name, info in cls.model_fields.items()
    )


def entry_of(group: str, name: str, info: FieldInfo) -> Entry:
    """Gather what a declared field says about its argument."""
    extra = cast(Mapping[str, Any], info.json_schema_extra)
    return Entry(group, name, extra[EXTRA_KEY], kind_of(info), info.default, info.description or "")


@cache
def by_path() -> Mapping[tuple[str, str], Entry]:
    """Map (group, field) to its argument."""
    return {(entry.group, entry.name): entry for entry in entries()}


@cache
def by_flag() -> Mapping[str, Entry]:
    """Map every long flag and alias to its argument; `--no-` forms are not included."""
    return {flag: entry for entry in entries() for flag in (entry.flag, *entry.argument.aliases)}


@cache
def group_entries(group: str) -> tuple[Entry, ...]:
    """List the arguments of one group."""
    return tuple(entry for entry in entries() if entry.group == group)


@cache
def spec_entries(group: str) -> Mapping[str, Entry]:
    """Map the fields that a group has in an InferenceService to their arguments."""
    return {
        entry.spec_field: entry for entry in group_entries(group) if (group, entry.name) not in SPEC_PATHS
    }


def nearest(name: str, known: Iterable[str]) -> str:
    """Word a hint at the most similar known name, however it is spelled; empty if none is close."""
    plain = {_plain(each): each for each in known}
    close = get_close_matches(_plain(name), plain, n=1, cutoff=0.6)
    return f"; did you mean {plain[close[0]]}?" if close else ""


def _plain(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")
