"""From SGLang values to ours."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from paddock.engine.config.argument import Successor, same
from paddock.engine.config.build import build, problem_of
from paddock.engine.config.catalogue import Entry
from paddock.engine.config.problems import Problem, shown
from paddock.engine.config.refusals import refusal
from paddock.engine.config.sglang.catalogue import GROUP, sglang_entries, sglang_model
from paddock.engine.config.sglang.table import FATES
from paddock.engine.config.successors import Path
from paddock.engine.config.translation import place


@dataclass(slots=True)
class Translation:
    """Our values by group and field, which SGLang argument each came from, and what cannot be translated."""

    values: dict[str, dict[str, Any]] = field(default_factory=dict)
    origins: dict[tuple[str, str], Entry] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def translate(given: Mapping[str, Any], values: Mapping[str, Mapping[str, Any]] | None = None) -> Translation:
    """Check SGLang arguments by their own types and turn them into ours, beside `values` given directly."""
    done = Translation({group: dict(fields) for group, fields in (values or {}).items()})
    checked = _checked(given, done)
    for name, value in checked.items():
        if value is not None:
            _move(sglang_entries()[name], value, checked, done)
    return done


def moved(entry: Entry, value: Any, given: Mapping[str, Any]) -> dict[Path, object] | str:
    """Translate one checked value; text is the reason why it has no counterpart."""
    fate = FATES[entry.name]
    if fate.translate is None:
        return {} if entry.argument.accepts(value, entry.default) else refusal(entry, value)
    found = fate.translate(value, given)
    if same(value, entry.default) and (isinstance(found, str) or _rejected(found)):
        # Their default, spelled out, asks for nothing that a user would miss.
        return {}
    return found


def _move(entry: Entry, value: Any, given: Mapping[str, Any], done: Translation) -> None:
    visible = "" if entry.argument.secret else shown(value)
    targets = moved(entry, value, given)
    if isinstance(targets, str):
        done.problems.append(Problem((GROUP, entry.name), targets, visible, unsupported=True))
        return
    successor = Successor(FATES[entry.name].text, lambda _: None)
    done.problems += place(done.values, targets, (GROUP, entry.name), successor)
    for group, name, *_ in targets:
        done.origins.setdefault((group, name), entry)


def _checked(given: Mapping[str, Any], done: Translation) -> dict[str, Any]:
    """The values that have the right type, in the form that the model gives them."""
    try:
        model = sglang_model().model_validate(dict(given))
        return {name: getattr(model, name) for name in given}
    except ValidationError as error:
        wrong = {str(detail["loc"][0]) for detail in error.errors(include_url=False)}
        for detail in error.errors(include_url=False):
            placed = {**detail, "loc": (GROUP, *detail["loc"])}
            done.problems.append(problem_of(placed, sglang_entries()))
    return _checked({name: value for name, value in given.items() if name not in wrong}, done)


def _rejected(targets: Mapping[Path, object]) -> bool:
    raw: dict[str, dict[str, Any]] = {}
    for (group, name, *keys), value in targets.items():
        raw.setdefault(group, {})[name] = {keys[0]: value} if keys else value
    return bool(build(raw).problems)
