"""`spec.sglang` as an OpenAPI schema, with the rules that refuse at apply what cannot be translated."""

from collections.abc import Iterator
from itertools import chain
from typing import Any

from paddock.engine.config.argument import State
from paddock.engine.config.build import build
from paddock.engine.config.catalogue import Entry, by_path
from paddock.engine.config.expression import literal
from paddock.engine.config.naming import camel
from paddock.engine.config.problems import in_spec
from paddock.engine.config.refusals import refusal
from paddock.engine.config.rules import DEFAULT_MAX_NUM_BATCHED_TOKENS, DEFAULT_MAX_NUM_SEQS
from paddock.engine.config.schema import Schema, entry_schema, written_default
from paddock.engine.config.sglang.catalogue import sglang_spec_entries
from paddock.engine.config.sglang.fate import Fate
from paddock.engine.config.sglang.table import FATES
from paddock.engine.config.sglang.translation import moved
from paddock.engine.config.sglang.translators import BLOCK_SIZE, MAX_PREFILL_TOKENS
from paddock.engine.config.spec_rules import NEVER, Rule, equals_default

# Rules that no trial of values would find: field, condition, what a user should know.
_OPEN_RULES = {
    "chunked_prefill_size": ("self != 0", "must be above 0, or -1 for whole prompts"),
    "chat_template": (
        "self.contains('/') || self.contains('.') || self.contains('{')",
        "built-in template names are SGLang's own; give a Jinja file",
    ),
    "max_loras_per_batch": ("self >= 2", "must be at least 2: the bare model counts"),
}

_RUNNING = f"(has(self.maxRunningRequests) ? self.maxRunningRequests : {DEFAULT_MAX_NUM_SEQS})"
_CHUNK = f"(has(self.chunkedPrefillSize) ? self.chunkedPrefillSize : {DEFAULT_MAX_NUM_BATCHED_TOKENS})"
_PREFILL = f"(has(self.maxPrefillTokens) ? self.maxPrefillTokens : {MAX_PREFILL_TOKENS})"
_CONTEXT = "(has(self.contextLength) ? self.contextLength : 0)"

_GROUP_RULES: tuple[tuple[str, str, str], ...] = (
    (
        "chunkedPrefillSize",
        (
            "!has(self.chunkedPrefillSize) || "
            f"({_CHUNK} < 0 ? {_PREFILL} >= {_RUNNING} || {_CONTEXT} >= {_RUNNING} : {_CHUNK} >= {_RUNNING})"
        ),
        (
            "must be at least maxRunningRequests, since every running request may need one token of each "
            f"step (unset, the latter is {DEFAULT_MAX_NUM_SEQS})"
        ),
    ),
    (
        "chunkedPrefillSize",
        f"{_CHUNK} < 0 || !has(self.pageSize) || !has(self.chunkedPrefillSize) || {_CHUNK} % self.pageSize == 0",
        "must be a multiple of pageSize",
    ),
    (
        "maxPrefillTokens",
        f"{_CHUNK} < 0 || {_PREFILL} == {MAX_PREFILL_TOKENS}",
        "only counts with chunkedPrefillSize -1; a step has one budget, chunkedPrefillSize",
    ),
    (
        "maxTotalTokens",
        f"!has(self.maxTotalTokens) || self.maxTotalTokens >= (has(self.pageSize) ? self.pageSize : {BLOCK_SIZE})",
        "must hold at least one page",
    ),
)


def sglang_schema() -> Schema:
    """The schema of `spec.sglang`. No defaults are filled in: a default here is a choice there."""
    return {
        "type": "object",
        "description": "With backend sglang: the serve arguments under their SGLang names, translated one by one.",
        "properties": {
            field: {
                **entry_schema(entry, list(field_rules(entry)), with_default=False),
                "description": entry.description,
            }
            for field, entry in sglang_spec_entries().items()
        },
        "x-kubernetes-validations": [
            {"rule": condition, "message": f"{field} {message}", "fieldPath": f".{field}"}
            for field, condition, message in _GROUP_RULES
        ],
    }


def spec_rules() -> list[Rule]:
    """The rule over `spec`: the dialect is chosen, and nothing is said in both dialects.

    One for all of them, since the API server evaluates every rule at each write of any service's status; it names all
    that are broken.
    """
    conditions = [
        ("self.backend == 'sglang'", "sglang needs backend sglang"),
        *chain.from_iterable(_said_twice(entry) for entry in sglang_spec_entries().values()),
    ]
    holds = " && ".join(f"({condition})" for condition, _ in conditions)
    broken = " + ".join(f"({condition} ? '' : '{message}. ')" for condition, message in conditions)
    return [
        {
            "rule": f"!has(self.sglang) || {holds}",
            "message": "sglang needs backend sglang, and repeats no argument that is given elsewhere",
            "messageExpression": broken,
            "fieldPath": ".sglang",
        }
    ]


def _said_twice(entry: Entry) -> Iterator[tuple[str, str]]:
    """The condition that an argument is not given here and under its own name, and what a user should know."""
    fate = FATES[entry.name]
    if entry.argument.state is not State.WORKS or not fate.targets or entry.argument.cluster_reason:
        return
    group, name, *_ = fate.targets[0]
    target = by_path()[group, name]
    theirs, ours = f"self.sglang.{entry.spec_field}", f"self.{camel(group)}.{target.spec_field}"
    unset = [] if written_default(target) is not None else [f"!has({ours})"]
    if target.default is not None:
        unset.append(equals_default(target.kind, target.default).replace("self", ours))
    off = f" || !{theirs}" if entry.kind.base == "bool" and entry.name not in _SAME_SWITCHES else ""
    yield (
        f"!has({theirs}){off} || {' || '.join(unset)}",
        f"{entry.spec_field} says the same as {camel(group)}.{target.spec_field}; give one of them",
    )


_SAME_SWITCHES = {"log_requests"}
"""Switches that also say something when they are off."""


def field_rules(entry: Entry) -> Iterator[Rule]:
    """The rules of one field; `self` is its value."""
    argument, fate = entry.argument, FATES[entry.name]
    if argument.cluster_reason:
        reason = f"cannot be changed here: {argument.cluster_reason}"
        yield _rule(entry, equals_default(entry.kind, entry.default), reason)
    elif fate.translate is None and fate.state is not State.WORKS:
        yield _rule(entry, equals_default(entry.kind, entry.default), refusal(entry, None))
    elif entry.name in _OPEN_RULES:
        yield _rule(entry, *_OPEN_RULES[entry.name])
    elif fate.translate is not None:
        yield from _equivalent(entry, fate)


def _equivalent(entry: Entry, fate: Fate) -> Iterator[Rule]:
    kind, target = entry.kind, by_path().get(fate.targets[0][:2]) if fate.targets else None  # type: ignore[arg-type]
    if kind.base in ("bool", "enum"):
        candidates = list(kind.choices) or [False, True]
        reasons = {candidate: _objection(entry, candidate) for candidate in candidates}
        if any(reasons.values()):
            good = [candidate for candidate in candidates if not reasons[candidate]]
            condition = f"self in {literal(good)}" if good else NEVER
            yield _rule(entry, condition, next(filter(None, reasons.values())))
    elif entry.argument.state is not State.WORKS:
        default = _defaults(entry, target)
        advice = "leave it unset" if entry.default is None else f"leave it at {literal(entry.default)}"
        yield _rule(entry, default, f"becomes {fate.text}, which is not supported yet; {advice}")
    elif target is not None and target.kind.choices:
        known = literal(target.kind.choices)
        yield _rule(entry, f"self in {known}", f"becomes {fate.text}, which must be one of {known[1:-1]}")


def _defaults(entry: Entry, target: Entry | None) -> str:
    """The condition that a value says what holds anyway, in their dialect or in ours."""
    theirs, ours = entry.default, target.default if target is not None else None
    others: dict[str, list[Any]] = {
        "str": [ours] if isinstance(ours, str) else [],
        "int": [ours, ours + 1] if isinstance(ours, int) and ours is not True and ours is not False else [],
        "list": [ours] if isinstance(ours, tuple) else [],
    }
    conditions = [] if theirs is None else [equals_default(entry.kind, theirs)]
    for value in others.get(entry.kind.base, ()):
        if value is not None and value != theirs and not _objection(entry, value):
            conditions.append(equals_default(entry.kind, value))
    return " || ".join(conditions) or NEVER


def _objection(entry: Entry, value: Any) -> str:
    """Why a value is not accepted; empty if it is."""
    targets = moved(entry, value, {entry.name: value})
    if isinstance(targets, str):
        return targets
    raw: dict[str, dict[str, Any]] = {}
    for (group, name, *keys), each in targets.items():
        raw.setdefault(group, {})[name] = {keys[0]: each} if keys else each
    for problem in build(raw).problems:
        _, message = in_spec(problem)
        return f"becomes {FATES[entry.name].text}: {message}"
    return ""


def _rule(entry: Entry, condition: str, message: str) -> Rule:
    return {"rule": condition, "message": f"{entry.spec_field}: {message}"}
