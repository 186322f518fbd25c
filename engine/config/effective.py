"""`paddock serve --print-config`: every argument in force, and where its value came from."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml
from pydantic import BaseModel

from paddock.engine.config.argument import same
from paddock.engine.config.catalogue import Entry, group_entries
from paddock.engine.config.groups import GROUPS
from paddock.engine.config.layer import Field, Sourced
from paddock.engine.config.rules import WHEN_UNSET, token_budget

MASK = "***"

_SKIPPED = {"--config", "--backend"}
"""Both say how the rest was written, and the rest is what is printed."""


def print_config(given: Sourced, from_model: Mapping[Field, object] | None = None) -> str:
    """Write YAML that `--config` reads back, with each value's origin as a comment: command line, file,
    environment, model or default.

    `from_model` holds values that were unset or `auto` and that the model decided. Secrets are masked, in
    comments, so that the mask is never taken for a key.
    """
    lines: list[str] = []
    for group, cls in GROUPS.items():
        lines += ["", f"# {cls.__name__}"]
        lines += [_line(entry, given, from_model or {}) for entry in _shown(group)]
    return "\n".join(lines[1:]) + "\n"


def effective(given: Sourced, from_model: Mapping[Field, object] | None = None) -> dict[str, dict[str, str]]:
    """The same as data: value (as one line of YAML, secrets masked) and origin by argument, of what is not at
    its default.
    """
    found = {}
    for group in GROUPS:
        for entry in _shown(group):
            value, origin = _value(entry, given, from_model or {})
            if origin != "default":
                text = MASK if entry.argument.secret else _yaml(value)
                found[entry.flag.removeprefix("--")] = {"value": text, "origin": origin}
    return found


def _shown(group: str) -> Iterator[Entry]:
    return (entry for entry in group_entries(group) if not entry.deprecated and entry.flag not in _SKIPPED)


def _value(entry: Entry, given: Sourced, from_model: Mapping[Field, object]) -> tuple[Any, str]:
    field = (entry.group, entry.name)
    value: Any = getattr(getattr(given.config, entry.group), entry.name)
    if value is None or (value == "auto" and field in from_model):
        if field in from_model:
            return from_model[field], "model"
        if field == ("scheduler", "max_num_batched_tokens"):
            return _token_budget(given, from_model), "default"
        if field in WHEN_UNSET:
            return WHEN_UNSET[field], "default"
    source = given.sources.get(field)
    if source is not None:
        return value, source
    return value, "default" if same(value, entry.default) else "derived"


def _token_budget(given: Sourced, from_model: Mapping[Field, object]) -> int:
    """It grows with the context when a prompt must fit one step."""
    scheduler, context = given.config.scheduler, given.config.model.max_model_len
    longest = context or from_model.get(("model", "max_model_len"))
    chunk = longest if scheduler.enable_chunked_prefill is False and isinstance(longest, int) else 0
    return token_budget(None, scheduler.max_num_seqs, chunk, given.config.parallel.pipeline_parallel_size)


def _line(entry: Entry, given: Sourced, from_model: Mapping[Field, object]) -> str:
    value, origin = _value(entry, given, from_model)
    name = entry.flag.removeprefix("--")
    if entry.argument.secret and value is not None:
        return f"# {name}: {MASK}  # {origin}"
    return f"{name}: {_yaml(value)}  # {origin}"


def _yaml(value: Any) -> str:
    """One line of YAML. JSON is YAML, too; words that YAML reads as themselves need no quotes."""
    plain = isinstance(value, str) and re.fullmatch(r"[A-Za-z_/][\w/.-]*", value)
    return str(value) if plain and yaml.safe_load(str(value)) == value else _json(value)


def _json(value: Any) -> str:
    return json.dumps(value, default=_plain)


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(exclude_none=True, exclude_unset=True)
    raise TypeError(f"{type(value).__name__} has no JSON form")
