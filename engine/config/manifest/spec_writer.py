"""From a configuration to the argument groups of an InferenceService."""

import json
from typing import Any

from pydantic import BaseModel

from paddock.engine.config.argument import same
from paddock.engine.config.catalogue import SPEC_PATHS, Entry, entries
from paddock.engine.config.kinds import Kind, kind_of
from paddock.engine.config.naming import camel
from paddock.engine.config.serve import ServeConfig


def to_spec(config: ServeConfig, secret_name: str = "paddock-secrets") -> dict[str, dict[str, Any]]:
    """Write the arguments that differ from their defaults, by group; `from_spec` reads the same back.

    A secret becomes a reference to a key, named like its flag, of the Secret `secret_name`. What the operator
    decides in a cluster (the address, the configuration file, the model's source) is left out.
    """
    spec: dict[str, dict[str, Any]] = {}
    for entry in entries():
        value = getattr(getattr(config, entry.group), entry.name)
        if same(value, entry.default) or not _belongs(entry, value):
            continue
        reference = {"name": secret_name, "key": secret_key(entry)}
        written = reference if entry.argument.secret else _written(value, entry.kind)
        spec.setdefault(camel(entry.group), {})[entry.spec_field] = written
    return spec


def secret_key(entry: Entry) -> str:
    """The key under which a secret argument is expected."""
    return entry.flag.removeprefix("--")


def _belongs(entry: Entry, value: Any) -> bool:
    lowest = entry.argument.cluster_minimum
    decided = (entry.group, entry.name) in SPEC_PATHS or bool(entry.argument.cluster_reason)
    return not decided and (lowest is None or value >= lowest)


def _written(value: Any, kind: Kind) -> Any:
    if isinstance(value, BaseModel):
        fields = type(value).model_fields
        return {
            camel(name): _written(getattr(value, name), kind_of(fields[name]))
            for name in fields
            if name in value.model_fields_set and getattr(value, name) is not None
        }
    if kind.base == "json":
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    if isinstance(value, tuple) and kind.item is not None:
        return [_written(each, kind.item) for each in value]
    return value
