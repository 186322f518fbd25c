"""From the argument groups of an InferenceService to a configuration."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from paddock.engine.config.argument import State, Structure, same
from paddock.engine.config.build import build
from paddock.engine.config.catalogue import Entry, by_path, nearest, spec_entries
from paddock.engine.config.groups import GROUPS
from paddock.engine.config.kinds import Kind, describe, kind_of
from paddock.engine.config.layer import Field, Sourced
from paddock.engine.config.naming import camel
from paddock.engine.config.problems import Problem, SpecError, in_spec, shown
from paddock.engine.config.refusals import refusal
from paddock.engine.config.serve import ServeConfig
from paddock.engine.config.translation import Raw, replace_deprecated
from paddock.engine.config.values import MAX_SECRET_NAME, SECRET_KEY
from paddock.engine.config.vocabulary import SGLANG

if TYPE_CHECKING:
    from paddock.engine.config.sglang.translation import Translation

Error = tuple[str, str]

_OPERATORS = {"spec.model": ("uri", "source"), "spec.lora": ("adapters", "source")}
"""The operator's own fields in groups of arguments."""


def from_spec(
    spec: Mapping[str, Any], *, model_path: str | None = None, warn: Callable[[str], None] | None = None
) -> ServeConfig:
    """Read the argument groups of a spec: `read_spec` without the origins."""
    return read_spec(spec, model_path=model_path, warn=warn).config


def read_spec(
    spec: Mapping[str, Any], *, model_path: str | None = None, warn: Callable[[str], None] | None = None
) -> Sourced:
    """Read the argument groups of a spec; what else is in it (`replicas`, `model.uri`, …) is not looked at.

    `model_path` becomes the model. Secret references are checked for shape and support only, since their
    values reach the process through its environment. The sources are field paths. Raises SpecError with every
    problem found.
    """
    reader = _SpecReader()
    raw = {
        group: reader.fields(f"spec.{camel(group)}", spec.get(camel(group)), spec_entries(group))
        for group in GROUPS
    }
    dialect = reader.dialect(spec, raw)
    raw = dialect.values if dialect else raw
    if model_path is not None:
        raw["model"]["model"] = model_path
    built = build(raw)
    for warning in built.warnings if warn else ():
        assert warn is not None
        warn(warning)
    errors = [*reader.errors, *(_worded(problem, dialect) for problem in built.problems)]
    if errors or built.config is None:
        raise SpecError(errors)
    return Sourced(built.config, _sources(raw, built.config, dialect))


def _sources(raw: Raw, config: ServeConfig, dialect: "Translation | None") -> dict[Field, str]:
    """Name the field that set each value. A stored object also spells out defaults: those have no source."""
    values, moves, _ = replace_deprecated(raw)
    origins = {target[:2]: move.entry.spec_path for move in moves for target in move.targets}
    origins |= {field: entry.spec_path for field, entry in (dialect.origins if dialect else {}).items()}
    sources: dict[Field, str] = {}
    for group, fields in values.items():
        for name in fields:
            entry = by_path()[group, name]
            if not same(getattr(getattr(config, group), name), entry.default):
                sources[group, name] = origins.get((group, name), entry.spec_path)
    return sources


def _worded(problem: Problem, dialect: "Translation | None") -> Error:
    """Word a problem; one with a value that came from the dialect is reported where it was written."""
    path, message = in_spec(problem)
    entry = dialect.origins.get((str(problem.path[0]), str(problem.path[1]))) if dialect else None
    return (entry.spec_path, f"becomes {path}: {message}") if entry else (path, message)


class _SpecReader:
    """Gathers raw values and, beside them, what only a spec can have wrong."""

    def __init__(self) -> None:
        self.errors: list[Error] = []

    def dialect(self, spec: Mapping[str, Any], raw: Mapping[str, dict[str, Any]]) -> "Translation | None":
        """Translate `spec.sglang` into `raw`, if `spec.backend` says so."""
        entry = by_path()["worker", "backend"]
        backend, given = spec.get("backend"), spec.get(SGLANG)
        if backend is not None and backend not in entry.kind.choices:
            self.errors.append(
                (entry.spec_path, f"{shown(backend, quoted=True)}: must be {describe(entry.kind)}")
            )
        elif given is not None and backend != SGLANG:
            self.errors.append(("spec.sglang", "needs spec.backend sglang"))
        if given is None or backend != SGLANG:
            return None
        # Its 168 fields take a while to declare, and few resources need them.
        from paddock.engine.config.sglang.catalogue import sglang_spec_entries
        from paddock.engine.config.sglang.translation import translate

        values = self.fields("spec.sglang", given, sglang_spec_entries())
        # Pods listen on every address, whatever the dialect's default is.
        values.pop("host", None)
        done = translate(values, raw)
        self.errors += map(in_spec, done.problems)
        return done

    def fields(self, path: str, given: object, known: Mapping[str, Entry]) -> dict[str, Any]:
        """Read the fields of one object into raw values by argument name."""
        if given is None:
            return {}
        if not isinstance(given, Mapping):
            self.errors.append((path, "must be an object"))
            return {}
        values: dict[str, Any] = {}
        for field, value in given.items():
            entry = known.get(field)
            if value is None or field in _OPERATORS.get(path, ()):
                continue
            if entry is None:
                self.errors.append((f"{path}.{field}", f"unknown field{nearest(str(field), known)}"))
            elif entry.argument.secret:
                self.errors += _secret(entry, value)
            else:
                self.errors += _in_cluster(entry, value)
                values[entry.name] = self.value(value, entry.kind, f"{path}.{field}")
        return values

    def value(self, value: object, kind: Kind, path: str) -> object:
        """Spell the keys of a structure as on the command line; all else stays as it is."""
        if kind.structure is not None and isinstance(value, Mapping):
            return self.keys(value, kind.structure, path)
        if kind.structure is not None and isinstance(value, int):
            # A command line's shorthand, which the API server does not know.
            self.errors.append((path, f"{shown(value)}: must be {describe(kind)}"))
            return {}
        if isinstance(value, list | tuple) and kind.item is not None:
            return [self.value(each, kind.item, f"{path}[{index}]") for index, each in enumerate(value)]
        if kind.base == "json" and not isinstance(value, str):
            self.errors.append((path, "must be text that holds a JSON object"))
            return {}
        return value

    def keys(self, given: Mapping[str, Any], structure: type[Structure], path: str) -> dict[str, Any]:
        known = {camel(name): name for name in structure.model_fields}
        values: dict[str, Any] = {}
        for key, value in given.items():
            if key not in known:
                self.errors.append((f"{path}.{key}", f"unknown field{nearest(str(key), known)}"))
            elif value is not None:
                info = structure.model_fields[known[key]]
                values[known[key]] = self.value(value, kind_of(info), f"{path}.{key}")
        return values


def _secret(entry: Entry, value: object) -> Iterator[Error]:
    given = dict(value) if isinstance(value, Mapping) else {}
    names = [given.pop(field, None) for field in ("name", "key")]
    sound = all(isinstance(name, str) and 0 < len(name) <= MAX_SECRET_NAME for name in names)
    if given or not sound or not re.fullmatch(SECRET_KEY, str(names[1])):
        yield entry.spec_path, "must be the {name, key} of a Secret and one of its keys"
    elif entry.argument.state is not State.WORKS:
        yield entry.spec_path, refusal(entry, None)


def _in_cluster(entry: Entry, value: object) -> Iterator[Error]:
    argument = entry.argument
    if argument.cluster_reason and not same(value, entry.default):
        yield entry.spec_path, f"cannot be changed here: {argument.cluster_reason}"
    lowest = argument.cluster_minimum
    if lowest is not None and isinstance(value, int | float) and value < lowest:
        yield entry.spec_path, f"{value}: must be at least {lowest} in a cluster"
    for refused, reason in argument.cluster_refused.items():
        if same(value, refused):
            yield entry.spec_path, f"{value}: cannot be used here: {reason}"
