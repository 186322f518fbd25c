"""Well-formed values that the engine cannot act on, and combinations that make no sense."""

from collections.abc import Iterator, Mapping
from typing import Any

from paddock.engine.config.argument import EXTRA_KEY, KeyLimit, State, Structure, same
from paddock.engine.config.catalogue import Entry, by_path
from paddock.engine.config.problems import Problem, shown
from paddock.engine.config.rules import RULES


def refusals(groups: Mapping[str, Any]) -> list[Problem]:
    """List every value that is not supported and every rule that is broken, over groups by name."""
    return [*_unsupported(groups), *_broken_rules(groups)]


def _unsupported(groups: Mapping[str, Any]) -> Iterator[Problem]:
    for group, fields in groups.items():
        for name in type(fields).model_fields:
            if name not in fields.model_fields_set:
                continue
            entry, value = by_path()[group, name], getattr(fields, name)
            if not entry.argument.accepts(value, entry.default):
                visible = "" if entry.argument.secret else shown(value)
                yield Problem((group, name), refusal(entry, value), visible, unsupported=True)
            elif isinstance(value, Structure):
                yield from _unsupported_keys((group, name), value)


def _unsupported_keys(path: tuple[str, str], value: Structure) -> Iterator[Problem]:
    for key, limit in key_limits(type(value)):
        given = getattr(value, key)
        if given is not None and not limit.takes(given):
            yield Problem((*path, key), key_refusal(limit), shown(given), unsupported=True)


def key_limits(structure: type[Structure]) -> Iterator[tuple[str, KeyLimit]]:
    """Keys that take less than their type says."""
    for key, info in structure.model_fields.items():
        extra = info.json_schema_extra
        limit = extra.get(EXTRA_KEY) if isinstance(extra, dict) else None
        if isinstance(limit, KeyLimit):
            yield key, limit


def key_refusal(limit: KeyLimit) -> str:
    """Say why a valid value of a key is not accepted and what to do instead."""
    return f"cannot work here: {limit.reason}; {limit.advice}"


def refusal(entry: Entry, value: object) -> str:
    """Say why a valid value is not accepted and what to do instead."""
    argument = entry.argument
    for other, reason in argument.refused_values.items():
        if same(value, other):
            return f"cannot work here: {reason}"
    if argument.state is State.REFUSED:
        return f"cannot work here: {argument.reason}; {advice(entry)}"
    because = f": {argument.reason}" if argument.reason else ""
    return f"not supported yet{because}; {advice(entry)}"


def advice(entry: Entry) -> str:
    """Say which values work instead."""
    supported = entry.argument.supported or ()
    if len(supported) > 1 or (supported and not same(supported[0], entry.default)):
        return "use " + " or ".join(shown(other) for other in supported)
    if entry.default is None or entry.kind.base in ("json", "object", "map", "list"):
        return "leave it unset"
    return f"leave it at {shown(entry.default) or repr('')}"


def _broken_rules(groups: Mapping[str, Any]) -> Iterator[Problem]:
    for rule in RULES:
        if not rule.holds.evaluate(groups):
            yield Problem(rule.blamed, rule.message, involved=rule.holds.fields)
