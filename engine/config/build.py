"""From values of any door to a `ServeConfig`, with every problem found in one go."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Any, cast

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from paddock.engine.config.catalogue import Entry, group_entries, nearest
from paddock.engine.config.groups import GROUPS
from paddock.engine.config.kinds import Kind, describe, kind_of
from paddock.engine.config.naming import flag_of
from paddock.engine.config.problems import Problem, Refusals, flag_name, shown
from paddock.engine.config.serve import UNJUDGED, ServeConfig
from paddock.engine.config.translation import Raw, replace_deprecated


@dataclass(frozen=True, slots=True)
class Built:
    """The outcome: a configuration only if there are no problems."""

    config: ServeConfig | None
    problems: tuple[Problem, ...]
    warnings: tuple[str, ...]


def build(raw: Raw, origins: Mapping[tuple[str, str], str] | None = None) -> Built:
    """Validate values by group and field. `origins` names where a value came from, for the messages."""
    values, translated, problems = replace_deprecated(raw)
    names = dict(origins or {})
    for move in translated:
        for group, name, *_ in move.targets:
            names.setdefault((group, name), f"{flag_of(name)} (from {move.entry.flag})")
    config, found = _validated(values)
    named = [replace(problem, origin=_origin(problem, names)) for problem in (*problems, *found)]
    warnings = tuple(move.warning for move in translated)
    return Built(None if named else config, tuple(named), warnings)


def draft(raw: Raw, origins: Mapping[tuple[str, str], str]) -> Built:
    """Check types only, for a manifest that is written down before its arguments can all be served."""
    values, translated, problems = replace_deprecated(raw)
    warnings = tuple(move.warning for move in translated)
    try:
        config = ServeConfig.model_validate(values, context=dict(UNJUDGED))
    except ValidationError as error:
        problems += _problems(error.errors(include_url=False))
        return Built(None, tuple(replace(each, origin=_origin(each, origins)) for each in problems), warnings)
    return Built(config, tuple(problems), warnings)


def _validated(values: dict[str, Any]) -> tuple[ServeConfig | None, list[Problem]]:
    try:
        return ServeConfig.model_validate(values), []
    except ValidationError as error:
        details = error.errors(include_url=False)
    problems = _problems(details)
    if any(_is_refusal(detail) for detail in details):
        return None, problems
    # The sound remainder is judged too, so that one run shows everything that has to change.
    broken = {problem.path[:2] for problem in problems}
    _, more = _validated(_without(values, broken))
    return None, problems + [each for each in more if not _touches(each, broken)]


def _without(values: Mapping[str, Any], broken: AbstractSet[tuple[str | int, ...]]) -> dict[str, Any]:
    return {
        group: {name: value for name, value in fields.items() if (group, name) not in broken}
        for group, fields in values.items()
        if (group,) not in broken
    }


def _touches(problem: Problem, broken: AbstractSet[tuple[str | int, ...]]) -> bool:
    return any(field in broken or field[:1] in broken for field in problem.involved)


def _is_refusal(detail: ErrorDetails) -> bool:
    return isinstance(detail.get("ctx", {}).get("error"), Refusals)


def _problems(details: Sequence[ErrorDetails]) -> list[Problem]:
    problems: list[Problem] = []
    for detail in details:
        if _is_refusal(detail):
            problems += cast(Refusals, detail["ctx"]["error"]).problems
        else:
            location = detail["loc"]
            fields = {each.name: each for each in group_entries(str(location[0]))} if location else {}
            problems.append(problem_of(cast(dict[str, Any], detail), fields))
    return problems


def problem_of(detail: Mapping[str, Any], fields: Mapping[str, Entry]) -> Problem:
    """Word one error of pydantic; `fields` are the arguments of the group that its location begins with."""
    location, given = detail["loc"], detail["input"]
    if len(location) < 2:
        known = ", ".join(GROUPS)
        wrong = location and location[0] in GROUPS
        return Problem(location, "must be an object with fields" if wrong else f"must be one of {known}")
    entry = fields.get(str(location[1]))
    if entry is None:
        return Problem(location[:2], f"unknown argument{nearest(str(location[1]), fields)}")
    path, kind = _inner(entry, location[2:])
    if kind is None:
        return Problem(path, "unknown key" + _known_keys(entry, path))
    if detail["type"] == "missing":
        return Problem(path, "is required")
    visible = shown(given, quoted=kind.base not in ("str", "enum"))
    return Problem(path, f"must be {describe(kind)}", "" if entry.argument.secret else visible)


def _inner(entry: Entry, keys: Sequence[str | int]) -> tuple[tuple[str | int, ...], Kind | None]:
    """Follow keys and indexes into a value; the kind is None for a key that does not exist."""
    path: tuple[str | int, ...] = (entry.group, entry.name)
    kind: Kind | None = entry.kind
    for key in keys:
        if kind is None:
            break
        if kind.structure is not None:
            info = kind.structure.model_fields.get(str(key))
            path, kind = (*path, key), kind_of(info) if info else None
        elif kind.item is not None and key != "[key]":
            path, kind = (*path, key), kind.item
    return path, kind


def _known_keys(entry: Entry, path: Sequence[str | int]) -> str:
    _, parent = _inner(entry, path[2:-1])
    keys = list(parent.structure.model_fields) if parent and parent.structure else []
    return nearest(str(path[-1]), keys) or "; known are " + ", ".join(keys)


def _origin(problem: Problem, names: Mapping[tuple[str, str], str]) -> str:
    if problem.origin or len(problem.path) < 2:
        return problem.origin
    origin = names.get((str(problem.path[0]), str(problem.path[1])), "")
    nested = origin and len(problem.path) > 2
    return f"{flag_name(problem.path)} ({origin})" if nested else origin
