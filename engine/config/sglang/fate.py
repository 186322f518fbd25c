"""What becomes of one SGLang argument: translated, already so, refused, or not supported yet."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from paddock.engine.config.argument import State
from paddock.engine.config.naming import flag_of
from paddock.engine.config.successors import Path, path_of

Given = Mapping[str, Any]
"""All SGLang arguments that were given, by field: some translations depend on a second one."""

Translate = Callable[[Any, Given], dict[Path, object] | str]
"""The values of our arguments, or the reason why this value has no counterpart."""


@dataclass(frozen=True, slots=True)
class Fate:
    """Exactly one of `translate` and `state` says what happens; an equivalent has the state of its targets."""

    text: str
    """The equivalent in words, or the reason."""

    state: State | None = None
    translate: Translate | None = None
    targets: tuple[Path, ...] = ()
    fixed: object = None
    """The one value that a switch sets."""


def always(reason: str) -> Fate:
    """What the flag asks for holds here in any case."""
    return Fate(reason, State.WORKS)


def refused(reason: str) -> Fate:
    """No value but the default can work here."""
    return Fate(reason, State.REFUSED)


def not_yet(reason: str = "") -> Fate:
    """No value but the default is supported so far."""
    return Fate(reason, State.NOT_YET)


def same(field: str) -> Fate:
    """The value goes unchanged to our argument."""
    path = path_of(field)
    return Fate(spelled(path), translate=lambda value, _: {path: value}, targets=(path,))


def to(field: str, change: Callable[[Any], object], text: str = "") -> Fate:
    """The value goes to our argument (or, with a third part, to one of its keys) in another form."""
    path = path_of(field)
    return Fate(text or spelled(path), translate=lambda value, _: {path: change(value)}, targets=(path,))


def when_true(field: str, target: object) -> Fate:
    """The switch sets our argument to a fixed value; off, it changes nothing."""
    path = path_of(field)
    text = f"{spelled(path)} {str(target).lower() if isinstance(target, bool) else target}"
    return Fate(text, translate=lambda on, _: {path: target} if on else {}, targets=(path,), fixed=target)


def words(field: str, table: Mapping[str, object], otherwise: str = "") -> Fate:
    """The words differ: each is looked up, and one without a counterpart is refused for the given reason.

    Without a reason a word that is not in the table keeps its spelling. A word that is mapped to None asks
    for nothing.
    """
    path = path_of(field)

    def translate(word: str, _: Given) -> dict[Path, object] | str:
        if word not in table:
            return otherwise or {path: word}
        return {} if table[word] is None else {path: table[word]}

    return Fate(spelled(path), translate=translate, targets=(path,))


def by(translate: Translate, *fields: str) -> Fate:
    """The translation reads more than the value itself, or fills several of our arguments."""
    targets = tuple(map(path_of, fields))
    return Fate(" and ".join(map(spelled, targets)), translate=translate, targets=targets)


def spelled(path: Path) -> str:
    """Spell a target as on the command line."""
    return ".".join([flag_of(path[1]), *path[2:]])
