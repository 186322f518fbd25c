"""CEL rules on single fields: what the schema allows and the engine cannot act on is refused at apply."""

from typing import Any

from paddock.engine.config.argument import KeyLimit, State
from paddock.engine.config.build import build
from paddock.engine.config.catalogue import Entry, by_path
from paddock.engine.config.expression import literal
from paddock.engine.config.kinds import Kind, kind_of
from paddock.engine.config.naming import camel
from paddock.engine.config.refusals import key_limits, key_refusal, refusal

Rule = dict[str, Any]

NEVER = "false"


def field_rules(entry: Entry) -> list[Rule]:
    """List the rules of one field; `self` is its value, so an unset field breaks none."""
    argument = entry.argument
    if argument.secret:
        works = argument.state is State.WORKS
        return [] if works else [{"rule": NEVER, "message": named(entry, refusal(entry, None))}]
    rules = [_unequal(entry, value, refusal(entry, value)) for value in argument.refused_values]
    rules += [
        _unequal(entry, value, f"{value}: cannot be used here: {reason}")
        for value, reason in argument.cluster_refused.items()
    ]
    if entry.kind.base == "size":
        # The pattern lets 0.0k pass.
        rules.append({"rule": "string(self).find('[1-9]') != ''", "message": named(entry, "must be above 0")})
    if entry.kind.structure is not None and argument.state is State.WORKS:
        rules += [_key_rule(entry, key, limit) for key, limit in key_limits(entry.kind.structure)]
    if entry.deprecated:
        rules += _deprecated(entry)
    elif argument.cluster_reason:
        reason = f"cannot be changed here: {argument.cluster_reason}"
        rules.append({"rule": equals_default(entry.kind, entry.default), "message": named(entry, reason)})
    elif argument.supported is not None or argument.state in (State.REFUSED, State.NOT_YET):
        rules.append({"rule": _supported(entry), "message": named(entry, refusal(entry, None))})
    return rules


def _key_rule(entry: Entry, key: str, limit: KeyLimit) -> Rule:
    path = camel(key)
    unset = f"!has(self.{path})"
    allowed = f"{unset} || self.{path} in {literal(list(limit.supported))}" if limit.supported else unset
    return {"rule": allowed, "message": named(entry, f"{key}: {key_refusal(limit)}")}


def named(entry: Entry, message: str) -> str:
    """Begin a message with the field and its flag."""
    return f"{camel(entry.name)} ({entry.flag}): {message}"


def _unequal(entry: Entry, value: object, message: str) -> Rule:
    return {"rule": f"self != {literal(value)}", "message": named(entry, message)}


def _supported(entry: Entry) -> str:
    # A refused value has a rule and a message of its own.
    others = (*(entry.argument.supported or ()), *entry.argument.refused_values)
    if not others:
        return equals_default(entry.kind, entry.default)
    values = [entry.default, *others] if entry.default is not None else [*others]
    return f"self in {literal(list(dict.fromkeys(values)))}"


def equals_default(kind: Kind, default: Any) -> str:
    """Print the condition that `self`, which is set, has its default value."""
    if default is None:
        return NEVER
    match kind.base:
        case "json":
            return r"self.matches('^\\s*[{]\\s*[}]\\s*$')"
        case "map":
            return "size(self) == 0"
        case "object":
            return " && ".join(_keys_at_default(kind))
        case "list" if not default:
            return "size(self) == 0"
        case "float":
            return f"self == {float(default)}"
    return f"self == {literal(default)}"


def _keys_at_default(kind: Kind) -> list[str]:
    assert kind.structure is not None, "an object has keys"
    conditions = []
    for name, info in kind.structure.model_fields.items():
        path = f"self.{camel(name)}"
        unset = f"!has({path})"
        same = equals_default(kind_of(info), info.default).replace("self", path)
        conditions.append(unset if same == NEVER else f"({unset} || {same})")
    return conditions


def _deprecated(entry: Entry) -> list[Rule]:
    """Refuse what the successor would refuse."""
    if entry.kind.structure is not None and _successor_works(entry):
        return []
    candidates = _candidates(entry)
    open_set = entry.kind.base not in ("bool", "enum")
    works = [each for each in candidates if not build({entry.group: {entry.name: each}}).problems]
    if len(works) == len(candidates) and not open_set:
        return []
    assert entry.argument.successor is not None, "a deprecated argument has a successor"
    message = f"becomes {entry.argument.successor.text}, which is not supported yet; leave it unset"
    return [{"rule": f"self in {literal(works)}" if works else NEVER, "message": named(entry, message)}]


def _candidates(entry: Entry) -> list[Any]:
    """Values to try: all of a closed set, else the successor's default."""
    if entry.kind.base == "bool":
        return [False, True]
    if entry.kind.base == "enum":
        return list(entry.kind.choices)
    return [default for default in [_successor_default(entry)] if default is not None]


def _successor_works(entry: Entry) -> bool:
    """Whether every argument that a JSON object moves to takes any value of its type."""
    assert entry.argument.successor is not None, "a deprecated argument has a successor"
    targets = entry.argument.successor.translate({}) or {}
    return all(by_path()[group, name].argument.state is State.WORKS for group, name, *_ in targets)


def _successor_default(entry: Entry) -> object:
    assert entry.argument.successor is not None, "a deprecated argument has a successor"
    for group, name, *keys in entry.argument.successor.translate(1) or {}:
        structure = by_path()[group, name].kind.structure
        if keys and structure is not None:
            return structure.model_fields[keys[0]].default
    return None
