"""The flags that one dialect knows."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from paddock.engine.config.catalogue import Entry, by_flag, entries, group_entries
from paddock.engine.config.removed import Removed, removed_by_flag

SGLANG = "sglang"


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Long flags and aliases, `--no-` forms, and flags that older releases had."""

    flags: Mapping[str, Entry]
    negations: Mapping[str, Entry]
    removed: Mapping[str, Removed]
    model: Entry
    """The argument that a word without a flag is the value of."""

    abbreviates: bool = False
    """Whether the beginning of a flag stands for it where it is the only one, as in `--tp 8`."""

    def find(self, name: str) -> Entry | None:
        """The argument of a flag, an alias or, where the dialect has them, an abbreviation."""
        if name in self.flags or not self.abbreviates or not name.startswith("--"):
            return self.flags.get(name)
        found = {entry.name: entry for flag, entry in self.flags.items() if flag.startswith(name)}
        return next(iter(found.values())) if len(found) == 1 else None

    def known(self) -> list[str]:
        """Every spelling, for hints."""
        return [*self.flags, *self.negations, *self.removed]

    def long_flags(self) -> Mapping[str, Entry]:
        """The flags that may be keys of a configuration file."""
        return {flag: entry for flag, entry in self.flags.items() if flag == entry.flag}


@cache
def vocabulary(backend: str) -> Vocabulary:
    """The flags of a dialect; what is neither vllm nor sglang is refused later, as a value of --backend."""
    return _sglang() if backend == SGLANG else _own()


def _own() -> Vocabulary:
    negations = {entry.negation: entry for entry in entries() if entry.negation}
    return Vocabulary(by_flag(), negations, removed_by_flag(), by_flag()["--model"])


def _sglang() -> Vocabulary:
    # Its 168 fields take a while to declare, and most commands never need them.
    from paddock.engine.config.sglang.catalogue import sglang_flags

    shared = {
        flag: entry
        for entry in (*group_entries("worker"), by_flag()["--config"])
        for flag in (entry.flag, *entry.argument.aliases)
    }
    return Vocabulary({**shared, **sglang_flags()}, {}, {}, sglang_flags()["--model-path"], abbreviates=True)
