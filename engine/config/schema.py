"""The argument groups as OpenAPI v3 structural schemas, with CEL rules, for the CustomResourceDefinition."""

from functools import cache
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from paddock.engine.config.argument import State
from paddock.engine.config.catalogue import Entry, by_path, spec_entries
from paddock.engine.config.expression import Scope
from paddock.engine.config.groups import GROUPS
from paddock.engine.config.kinds import Kind, kind_of
from paddock.engine.config.naming import camel
from paddock.engine.config.problems import spelled
from paddock.engine.config.rules import RULES, Rule
from paddock.engine.config.sizes import SIZE_PATTERN
from paddock.engine.config.spec_rules import field_rules
from paddock.engine.config.values import INT32_MAX, MAX_JSON_TEXT, MAX_SECRET_NAME, MAX_TEXT, SECRET_KEY

Schema = dict[str, Any]

EXACT_DOUBLE_MAX = 2**53
WHOLE_NUMBER = {"rule": "int(self) == self", "message": "must be written without a decimal point"}
JSON_PATTERN = r"^\s*\{(.|\n)*\}\s*$"


@cache
def group_schemas() -> dict[str, Schema]:
    """Map each group's spec field to its schema; `model.uri` belongs to the operator and is not in it."""
    return {camel(group): _group_schema(group) for group in GROUPS}


def cross_group_rules() -> list[Schema]:
    """List the rules over `spec` that read more than one group."""
    return [
        _rule_schema(rule, Scope(lambda group, name: f"self.{camel(group)}.{camel(name)}", _is_filled))
        for rule in RULES
        if len(rule.groups) > 1
    ]


def dialect_rules() -> list[Schema]:
    """List the rules over `spec` that keep the dialects apart."""
    from paddock.engine.config.sglang.schema import spec_rules

    return spec_rules()


@cache
def dialect_schemas() -> dict[str, Schema]:
    """Map `backend` and the fields of its dialects to their schemas, which stand beside the groups."""
    from paddock.engine.config.sglang.schema import sglang_schema

    entry = by_path()["worker", "backend"]
    return {"backend": entry_schema(entry, field_rules(entry)), "sglang": sglang_schema()}


def _group_schema(group: str) -> Schema:
    scope = Scope(lambda _, name: f"self.{camel(name)}", _is_filled)
    rules = [_rule_schema(rule, scope) for rule in RULES if rule.groups == {group}]
    schema: Schema = {
        "type": "object",
        "description": GROUPS[group].__doc__,
        # The API server goes on to fill in the defaults of the fields inside.
        "default": {},
        "properties": {
            field: entry_schema(entry, field_rules(entry)) for field, entry in spec_entries(group).items()
        },
    }
    return schema | ({"x-kubernetes-validations": rules} if rules else {})


def _rule_schema(rule: Rule, scope: Scope) -> Schema:
    return {
        "rule": rule.cel(scope),
        "message": spelled(rule.message, lambda _, name: camel(name)),
        "fieldPath": scope.path(*rule.blamed).removeprefix("self"),
    }


def _is_filled(group: str, name: str) -> bool:
    return written_default(by_path()[group, name]) is not None


def written_default(entry: Entry) -> Any:
    """What the API server writes into the object where the argument is unset, None if it leaves it out."""
    return None if entry.deprecated else _plain_default(entry.kind, entry.default)


def entry_schema(entry: Entry, rules: list[Schema], with_default: bool = True) -> Schema:
    """The schema of one argument; `with_default` lets the API server write its default into the object."""
    schema = _secret_schema() if entry.argument.secret else _kind_schema(entry.kind)
    schema["description"] = _description(entry)
    if (minimum := entry.argument.cluster_minimum) is not None:
        schema["minimum"] = minimum
    if with_default and (default := written_default(entry)) is not None:
        schema["default"] = default
    # Rules of an object that works read some of its keys, and none of the others.
    if not rules or (entry.kind.structure is not None and entry.argument.state is State.WORKS):
        _only_whole_numbers(schema)
    if rules:
        schema["x-kubernetes-validations"] = rules
    return schema


def _only_whole_numbers(schema: Schema) -> None:
    """Have the API server look at integers that no rule reads: only then does it refuse 8.0, as we do."""
    if schema.get("type") == "integer":
        schema["x-kubernetes-validations"] = [WHOLE_NUMBER]
    for inner in (
        *schema.get("properties", {}).values(),
        schema.get("items"),
        schema.get("additionalProperties"),
    ):
        if isinstance(inner, dict):
            _only_whole_numbers(inner)


def _description(entry: Entry) -> str:
    words = entry.description
    if entry.argument.successor is not None:
        words = f"Deprecated, use {entry.argument.successor.text}. {words}"
    if entry.argument.secret:
        words += " Names a key of a Secret in the same namespace."
    if entry.kind.base == "json":
        words += " A JSON object, as text."
    state = {State.NOT_YET: " Not supported yet.", State.REFUSED: " Cannot be used here."}
    return f"{words}{state.get(entry.argument.state, '')} ({entry.flag})"


def _secret_schema() -> Schema:
    name: Schema = {"type": "string", "minLength": 1, "maxLength": MAX_SECRET_NAME}
    return {
        "type": "object",
        "required": ["name", "key"],
        "properties": {
            "name": name | {"description": "Name of the Secret."},
            "key": name | {"description": "Key inside the Secret.", "pattern": f"^{SECRET_KEY}$"},
        },
    }


def _kind_schema(kind: Kind) -> Schema:
    match kind.base:
        case "bool":
            return {"type": "boolean"}
        case "int":
            wide = kind.le is None or kind.le > INT32_MAX
            return {"type": "integer", "format": "int64" if wide else "int32"} | _bounds(kind)
        case "float":
            return {"type": "number"} | _bounds(kind)
        case "size":
            return {"x-kubernetes-int-or-string": True, "pattern": SIZE_PATTERN} | _bounds(kind)
        case "enum":
            base = "integer" if isinstance(kind.choices[0], int) else "string"
            return {"type": base, "enum": list(kind.choices)}
        case "json":
            return {"type": "string", "maxLength": MAX_JSON_TEXT, "pattern": JSON_PATTERN}
        case "str":
            shortest: Schema = {"minLength": kind.min_length} if kind.min_length else {}
            pattern: Schema = {"pattern": kind.pattern} if kind.pattern else {}
            return {"type": "string", "maxLength": kind.max_length or MAX_TEXT} | shortest | pattern
    return _container_schema(kind)


def _container_schema(kind: Kind) -> Schema:
    if kind.structure is not None:
        fields = kind.structure.model_fields
        required = [camel(name) for name, info in fields.items() if info.is_required()]
        return {
            "type": "object",
            "properties": {camel(name): _key_schema(info) for name, info in fields.items()},
        } | ({"required": required} if required else {})
    assert kind.item is not None, "lists and maps have elements"
    if kind.base == "map":
        return {
            "type": "object",
            "additionalProperties": _kind_schema(kind.item),
            "maxProperties": kind.max_length,
        }
    return {"type": "array", "items": _kind_schema(kind.item), "maxItems": kind.max_length}


def _key_schema(info: FieldInfo) -> Schema:
    kind = kind_of(info)
    schema = _kind_schema(kind) | {"description": info.description}
    default = None if info.default is PydanticUndefined else _plain_default(kind, info.default)
    return schema if default is None else schema | {"default": default}


def _bounds(kind: Kind) -> Schema:
    # OpenAPI v3.0 marks an open bound with a second, boolean keyword.
    bounds: Schema = {}
    if (low := kind.ge if kind.ge is not None else kind.gt) is not None:
        bounds["minimum"] = low
    high = kind.le if kind.le is not None else kind.lt
    # The API server reads a bound as a double; the int64 format holds where that would round.
    if high is not None and high <= EXACT_DOUBLE_MAX:
        bounds["maximum"] = high
    if kind.gt is not None:
        bounds["exclusiveMinimum"] = True
    if kind.lt is not None:
        bounds["exclusiveMaximum"] = True
    return bounds


def _plain_default(kind: Kind, default: Any) -> Any:
    """The default as the API server writes it; an empty container says no more than an absent one."""
    if kind.base in ("json", "object", "map") or default == ():
        return None
    return list(default) if isinstance(default, tuple) else default
