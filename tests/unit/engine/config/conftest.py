"""Values to try on arguments, good and bad."""

from collections.abc import Callable
from typing import Any

import pytest

from paddock.engine.config.catalogue import Entry
from paddock.engine.config.kinds import Kind


def other_value(entry: Entry) -> Any:
    """A well-formed value that is not the default, in the form of a configuration file."""
    if entry.kind.choices:
        return next(choice for choice in reversed(entry.kind.choices) if choice != entry.default)
    if entry.kind.base == "bool":
        return not entry.default
    value = sample(entry.kind)
    return (value + 1 if entry.kind.base == "int" else value / 2) if value == entry.default else value


def sample(kind: Kind) -> Any:
    match kind.base:
        case "bool":
            return True
        case "int" | "size":
            return int(kind.ge or 0) + 1
        case "float":
            return 0.5
        case "str":
            return "word"
        case "list" if kind.item:
            return [kind.item.choices[0] if kind.item.choices else sample(kind.item)]
        case "map" if kind.item:
            return {"image": sample(kind.item)}
        case "object" if kind.structure is not None:
            return _sample_keys(kind)
    return {"key": 1}


def _sample_keys(kind: Kind) -> dict[str, Any]:
    assert kind.structure is not None
    fields = kind.structure.model_fields
    if "name" in fields:
        return {"name": "a", "path": "b"}
    if "method" in fields:
        return {"num_speculative_tokens": 3}
    numbers = {"factor": 2.0, "level": 3, "log_balancedness": True, "temperature": 0.5, "normalize": False}
    flags = {"enable_kv_cache_events": True, "kv_rank": 1, "disable_fallback": True}
    name, value = next((name, value) for name, value in (numbers | flags).items() if name in fields)
    return {name: value}


@pytest.fixture(scope="session")
def valid() -> Callable[[Entry], Any]:
    return other_value


@pytest.fixture(autouse=True)
def _no_terminal_width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
