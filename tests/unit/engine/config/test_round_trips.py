"""Nothing is lost on the way from flags to a configuration, to flags, to JSON and to a spec, and back."""

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from paddock.engine.config import (
    ArgumentError,
    ServeConfig,
    SpecError,
    from_spec,
    parse_serve,
    to_argv,
    to_spec,
)
from paddock.engine.config.argument import State, same
from paddock.engine.config.build import build
from paddock.engine.config.catalogue import Entry, entries
from paddock.engine.config.kinds import Kind, kind_of
from paddock.engine.config.manifest.check import check
from paddock.engine.config.naming import camel

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12)
EVERY = [
    entry
    for entry in entries()
    if entry.argument.state is not State.DEPRECATED and entry.flag not in ("--config", "--backend")
]


def values(kind: Kind) -> st.SearchStrategy[Any]:
    if kind.choices:
        return st.sampled_from(kind.choices)
    match kind.base:
        case "bool":
            return st.booleans()
        case "int" | "size":
            return st.integers(int(kind.ge or 0), int(kind.le or 10**6))
        case "float":
            # Bounds of a float may be open; 1e-6 stays clear of both ends.
            low = kind.ge if kind.ge is not None else (kind.gt or 0) + 1e-6
            high = kind.le if kind.le is not None else (kind.lt - 1e-6 if kind.lt else 1e9)
            return st.floats(low, high)
        case "str":
            return TEXT
    return containers(kind)


def containers(kind: Kind) -> st.SearchStrategy[Any]:
    if kind.structure is not None:
        fields = {name: values(kind_of(info)) for name, info in kind.structure.model_fields.items()}
        required = {name for name, info in kind.structure.model_fields.items() if info.is_required()}
        return st.fixed_dictionaries(
            {name: each for name, each in fields.items() if name in required},
            optional={name: each for name, each in fields.items() if name not in required},
        )
    if kind.base == "list" and kind.item is not None:
        return st.lists(values(kind.item), max_size=3)
    scalars = st.integers(-9, 9) | TEXT | st.booleans() | st.none()
    inner = values(kind.item) if kind.item else scalars | st.lists(scalars, max_size=2)
    return st.dictionaries(TEXT, inner, max_size=3)


def works(entry: Entry, value: object) -> bool:
    return not build({entry.group: {entry.name: value}}).problems


@st.composite
def raw_values(draw: st.DrawFn) -> dict[str, dict[str, Any]]:
    raw: dict[str, dict[str, Any]] = {}
    working = [entry for entry in EVERY if entry.argument.state is State.WORKS]
    for entry in draw(st.lists(st.sampled_from(working), max_size=8, unique_by=id)):
        value = draw(values(entry.kind))
        assume(works(entry, value))
        raw.setdefault(entry.group, {})[entry.name] = value
    return raw


@st.composite
def configurations(draw: st.DrawFn) -> ServeConfig:
    built = build(draw(raw_values()))
    assume(built.config is not None)
    assert built.config is not None
    return built.config


def in_cluster(config: ServeConfig) -> ServeConfig:
    """The same, but for what a cluster decides by itself."""
    return at_defaults(config, lambda entry, _: bool(entry.argument.cluster_reason))


def accepted_in_cluster(config: ServeConfig) -> ServeConfig:
    """The same, but for values that a cluster refuses."""
    config = at_defaults(
        config, lambda entry, value: any(same(value, each) for each in entry.argument.cluster_refused)
    )
    size, local = config.parallel.data_parallel_size, config.parallel.data_parallel_size_local
    if size > 1 and size % (local or 1) == 0:
        return config
    dealt_out = ("data_parallel_size_local", "data_parallel_hybrid_lb")
    return at_defaults(config, lambda entry, _: entry.name in dealt_out)


def at_defaults(config: ServeConfig, chosen: Callable[[Entry, object], bool]) -> ServeConfig:
    for entry in EVERY:
        if chosen(entry, getattr(getattr(config, entry.group), entry.name)):
            group = getattr(config, entry.group).model_copy(update={entry.name: entry.default})
            config = config.model_copy(update={entry.group: group})
    return config


def without_secrets(config: ServeConfig) -> ServeConfig:
    frontend = config.frontend.model_copy(update={"api_key": None})
    model = config.model.model_copy(update={"hf_token": None})
    return config.model_copy(update={"frontend": frontend, "model": model})


@given(configurations())
def test_flags_make_the_configuration_they_were_written_from(config: ServeConfig) -> None:
    again = parse_serve([f"--model={config.model.model}", *to_argv(config)], {})

    assert again == without_secrets(config)
    assert to_argv(again) == to_argv(config)


@given(configurations())
def test_json_keeps_a_configuration(config: ServeConfig) -> None:
    assert ServeConfig.model_validate_json(config.model_dump_json()) == config


@given(configurations())
def test_a_spec_makes_the_configuration_it_was_written_from(config: ServeConfig) -> None:
    assume(config.frontend.port > 0)
    config = in_cluster(accepted_in_cluster(config))

    assert from_spec(spec_of(config), model_path=config.model.model) == without_secrets(config)


@given(configurations())
def test_a_written_manifest_is_read_back_and_accepted_by_the_schema(config: ServeConfig) -> None:
    config = accepted_in_cluster(config)
    spec = to_spec(config)
    left = {"port": config.frontend.port or 8000}
    public = in_cluster(without_secrets(config))
    expected = public.model_copy(update={"frontend": public.frontend.model_copy(update=left)})

    assert from_spec(spec, model_path=config.model.model) == expected
    model = {"uri": "hf://owner/models", **spec.get("model", {})}
    assert check({"metadata": {"name": "a"}, "spec": {**spec, "model": model}}) == []


def spec_of(config: ServeConfig) -> dict[str, Any]:
    spec: dict[str, Any] = {}
    for entry in EVERY:
        value = getattr(getattr(config, entry.group), entry.name)
        if entry.flag != "--model" and not entry.argument.secret and value is not None:
            spec.setdefault(camel(entry.group), {})[camel(entry.name)] = in_spec(entry.kind, value)
    return spec


def in_spec(kind: Kind, value: Any) -> Any:
    if isinstance(value, BaseModel):
        given = {name: getattr(value, name) for name in value.model_fields_set}
        return {
            camel(name): in_spec(kind_of(type(value).model_fields[name]), each)
            for name, each in given.items()
        }
    if kind.base == "json":
        return json.dumps(value)
    return [in_spec(kind.item, each) for each in value] if kind.base == "list" and kind.item else value


@settings(max_examples=200)
@given(st.sampled_from(EVERY).flatmap(lambda entry: st.tuples(st.just(entry), values(entry.kind))))
def test_every_argument_reads_its_json_form_as_it_reads_yaml(case: tuple[Entry, Any]) -> None:
    """Also those that are not supported yet: both doors come to the same verdict about the same value."""
    entry, value = case
    by_file = build({entry.group: {entry.name: value}})
    word = json.dumps(value) if isinstance(value, list | dict | bool) else str(value)

    with suppress(ArgumentError):
        assert parse_serve([f"{entry.flag}={word}"], {}) == by_file.config
        return
    assert by_file.problems


@given(
    st.lists(
        TEXT | st.sampled_from([*(entry.flag for entry in entries()), "--", "-", "=", "-O", "{", "[1"]),
        max_size=6,
    )
)
def test_no_command_line_is_worse_than_refused(words: list[str]) -> None:
    with suppress(ArgumentError):
        parse_serve(words, {}, warn=lambda _: None)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from([entry for entry in EVERY if entry.flag != "--model"]), JSON)
def test_no_spec_is_worse_than_refused(entry: Entry, value: Any) -> None:
    with suppress(SpecError):
        from_spec({camel(entry.group): {entry.spec_field: value}})
