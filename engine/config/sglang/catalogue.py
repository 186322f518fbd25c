"""The SGLang arguments as fields: `arguments.json` holds the facts, `table.py` what becomes of each."""

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Annotated, Any, Literal

from pydantic import create_model

from paddock.engine.config.argument import Argument, Group, State, arg, same
from paddock.engine.config.catalogue import SPEC_PATHS, Entry, by_path, entry_of
from paddock.engine.config.refusals import key_limits
from paddock.engine.config.sglang.fate import Fate
from paddock.engine.config.sglang.table import FATES
from paddock.engine.config.successors import Path
from paddock.engine.config.values import (
    BatchSizes,
    ExactInt,
    Floats,
    JsonObject,
    LongText,
    Name,
    Seed,
    Strings,
    Text,
    Whole,
    Wholes,
)

GROUP = "sglang"

_TYPES: Mapping[str, Any] = {
    "bool": bool,
    "int": Whole,
    "float": float,
    "str": Text,
    "json": JsonObject,
    "list[str]": Strings,
    "list[int]": Wholes,
    "list[float]": Floats,
}
_OWN_TYPES: Mapping[str, Any] = {
    "model_path": Name,
    "served_model_name": Name,
    "chat_template": LongText,
    "cuda_graph_bs": BatchSizes,
    "random_seed": Seed,
}


@cache
def sglang_entries() -> Mapping[str, Entry]:
    """Map every SGLang field to its argument."""
    fields = sglang_model().model_fields
    return {name: entry_of(GROUP, name, info) for name, info in fields.items()}


@cache
def sglang_flags() -> Mapping[str, Entry]:
    """Map every SGLang flag and alias to its argument."""
    every = sglang_entries().values()
    return {flag: entry for entry in every for flag in (entry.flag, *entry.argument.aliases)}


@cache
def sglang_spec_entries() -> Mapping[str, Entry]:
    """Map the fields of `spec.sglang` to their arguments; the model and the key have their own places."""
    entries = sglang_entries().values()
    return {entry.spec_field: entry for entry in entries if (GROUP, entry.name) not in SPEC_PATHS}


@cache
def sglang_model() -> type[Group]:
    """The model that checks the types of SGLang arguments before they are translated."""
    facts = json.loads((files(__package__) / "arguments.json").read_text())
    fields: dict[str, Any] = {}
    for fact in facts:
        name = fact["flag"][2:].replace("-", "_")
        fields[name] = (_annotation(name, fact), _declared(name, fact))
    return create_model("SglangArguments", __base__=Group, **fields)


def _annotation(name: str, fact: Mapping[str, Any]) -> Any:
    choices = tuple(fact.get("choices") or ())
    if choices:
        kind: Any = Literal[choices]
        kind = Annotated[kind, ExactInt] if isinstance(choices[0], int) else kind
    else:
        kind = _OWN_TYPES.get(name) or _TYPES[fact["type"]]
        # The widest bound would hide the one that the fact gives.
        kind = int if kind is Whole and "le" in (fact.get("bounds") or {}) else kind
    return kind | None if fact.get("nullable") else kind


def _declared(name: str, fact: Mapping[str, Any]) -> Any:
    fate = FATES[name]
    default = fact["default"]
    target = by_path()[fate.targets[0][0], fate.targets[0][1]].argument if fate.targets else Argument()
    return arg(
        float(default) if fact["type"] == "float" and default is not None else default,
        fact["effect"],
        state=state_of(fate),
        reason=fate.text,
        aliases=tuple(fact.get("aliases") or ()),
        negation=False,
        secret=target.secret,
        cluster_reason=target.cluster_reason,
        cluster_minimum=target.cluster_minimum,
        bare=0.5 if name == "hybrid_kvcache_ratio" else None,
        **fact.get("bounds") or {},
    )


def state_of(fate: Fate) -> State:
    """An equivalent works as far as all that it is translated into does."""
    if fate.state is not None:
        return fate.state
    targets = [by_path()[path[0], path[1]] for path in fate.targets]
    if fate.fixed is not None and any(_is_refused_key(path, fate.fixed) for path in fate.targets):
        return State.REFUSED
    if fate.fixed is not None and all(same(fate.fixed, target.default) for target in targets):
        return State.WORKS
    states = {target.argument.state for target in targets}
    return next((state for state in (State.REFUSED, State.NOT_YET) if state in states), State.WORKS)


def _is_refused_key(path: Path, value: object) -> bool:
    """Whether `path` leads to a key of a JSON argument that does not take the value."""
    group, name, *keys = path
    structure = by_path()[group, name].kind.structure
    limits = {} if structure is None else dict(key_limits(structure))
    return any(key in limits and not limits[key].takes(value) for key in keys)
