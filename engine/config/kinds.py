"""What a field's annotation says: its kind, bounds and choices, in one small record for every reader."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from paddock.engine.config.argument import Structure
from paddock.engine.config.values import INT32_MAX, JsonMark, SizeMark

Base = Literal["bool", "int", "float", "str", "size", "enum", "list", "json", "object", "map"]


_BOUNDS = ("ge", "gt", "le", "lt", "min_length", "max_length", "pattern")


@dataclass(frozen=True, slots=True)
class Kind:
    """The shape of one value. `max_length` counts characters, items or keys."""

    base: Base
    nullable: bool = False
    choices: tuple[Any, ...] = ()
    ge: float | None = None
    gt: float | None = None
    le: float | None = None
    lt: float | None = None
    min_length: int | None = None
    max_length: int | None = None
    pattern: str | None = None
    item: "Kind | None" = None
    structure: type[Structure] | None = None


def kind_of(info: FieldInfo) -> Kind:
    """Read the kind of a pydantic field."""
    return _constrained(_read(info.annotation), info.metadata)


def _read(annotation: Any) -> Kind:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _constrained(_read(arguments[0]), arguments[1:])
    if origin in (Union, UnionType):
        # A second alternative is only ever the literal true of a bare flag.
        return replace(_read(arguments[0]), nullable=type(None) in arguments)
    if origin is Literal:
        return Kind("enum", choices=arguments)
    if origin is tuple:
        return Kind("list", item=_read(arguments[0]))
    if origin is dict:
        return Kind("map", item=None if arguments[1] is Any else _read(arguments[1]))
    if issubclass(annotation, Structure):
        return Kind("object", structure=annotation)
    names: dict[type, Base] = {bool: "bool", int: "int", float: "float", str: "str"}
    return Kind(names[annotation])


def _constrained(kind: Kind, metadata: Iterable[object]) -> Kind:
    for mark in metadata:
        if isinstance(mark, SizeMark):
            kind = replace(kind, base="size")
        elif isinstance(mark, JsonMark):
            kind = replace(kind, base="json")
        else:
            bounds = {name: getattr(mark, name, None) for name in _BOUNDS}
            kind = replace(kind, **{name: bound for name, bound in bounds.items() if bound is not None})
    return kind


def describe(kind: Kind, limits: bool = True) -> str:
    """Say in words which values are allowed; `limits` includes those that only keep sizes within reason."""
    if kind.choices:
        return "one of " + ", ".join(str(choice) for choice in kind.choices)
    match kind.base:
        case "bool":
            return "true or false"
        case "int":
            return "a whole number" + _range(kind, limits)
        case "float":
            return "a number" + _range(kind, limits)
        case "size":
            return "a whole number or a size such as 32k or 1.5m" + _range(kind, limits)
        case "str":
            return (
                "text"
                + (_length(kind) if limits else "")
                + (f" that matches {kind.pattern}" if kind.pattern else "")
            )
    return _describe_container(kind, limits)


def _describe_container(kind: Kind, limits: bool) -> str:
    if kind.structure is not None:
        return "a JSON object with keys among " + ", ".join(kind.structure.model_fields)
    if kind.item is None:
        return "a JSON object"
    item = describe(kind.item, limits)
    if kind.base == "map":
        return f"a JSON object whose values are each {item}"
    return (
        f"a list of at most {kind.max_length} values, each {item}" if limits else f"a list, each value {item}"
    )


def _length(kind: Kind) -> str:
    shortest = f"{kind.min_length} to" if kind.min_length else "at most"
    return f" of {shortest} {kind.max_length} characters" if kind.max_length else ""


def _range(kind: Kind, limits: bool) -> str:
    highest = kind.le if kind.le is not None and (limits or kind.le < INT32_MAX) else None
    if kind.ge is not None and highest is not None:
        return f" from {kind.ge} to {highest}"
    low = (
        f" above {kind.gt}"
        if kind.gt is not None
        else f" of at least {kind.ge}"
        if kind.ge is not None
        else ""
    )
    high = (
        f" below {kind.lt}"
        if kind.lt is not None
        else f" of at most {highest}"
        if highest is not None
        else ""
    )
    return low + (" and" if low and high else "") + high
