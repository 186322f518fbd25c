"""The fields are those of the dialect and of the worker page: a walk over their flags, both ways."""

import json
from pathlib import Path
from typing import Any

import pytest

from paddock.engine.config.argument import State
from paddock.engine.config.catalogue import by_flag, entries
from paddock.engine.config.removed import removed_by_flag

FACTS = json.loads((Path(__file__).parent / "catalogue.json").read_text())
KEPT = [fact for fact in FACTS if fact["status"] != "removed"]
REMOVED = [fact for fact in FACTS if fact["status"] == "removed"]

OWN_DEFAULTS = {
    "--scheduler-cls": "auto",  # the dialect names a class of its own
    "--prefix-caching-hash-algo": "sha256_cbor",  # the dialect's sha256 pickles
}
OWN_CHOICES = {"--guided-decoding-backend": {"lm-format-enforcer"}}
"""What this engine can do besides."""

OWN_KEYS = {"--structured-outputs-config": {"enable_in_reasoning": False}}
"""Keys of a JSON argument that the page leaves out."""

NODES = {"--nnodes", "--node-rank", "--master-addr", "--master-port"}
"""The dialect has them too; its page, from which the facts are, leaves them out."""

STRUCTURED = {"--lora-modules", "--default-mm-loras", "--limit-mm-per-prompt"}


def flag_of(fact: dict[str, Any]) -> str:
    return str(fact["flag"])


@pytest.mark.parametrize("fact", KEPT, ids=flag_of)
def test_every_flag_has_a_field_with_the_same_group_names_and_type(fact: dict[str, Any]) -> None:
    entry = by_flag()[fact["flag"]]

    assert entry.group == {"top": "service"}.get(fact["group"], fact["group"])
    assert entry.argument.aliases == tuple(fact.get("aliases", ()))
    assert entry.negation == fact.get("negation")
    assert entry.kind.base in bases(fact)


def bases(fact: dict[str, Any]) -> set[str]:
    name = str(fact["type"])
    if name == "json":
        return {"json", "object", "map"}
    if name == "enum" or (fact.get("choices") and not name.startswith("list")):
        return {"enum", "str"} if name == "str" else {"enum"}
    return {"list"} if name.startswith("list") else {name}


@pytest.mark.parametrize("fact", KEPT, ids=flag_of)
def test_every_field_has_the_dialects_choices_bounds_and_default(fact: dict[str, Any]) -> None:
    entry = by_flag()[fact["flag"]]

    if fact.get("choices") and entry.kind.base == "enum":
        assert set(entry.kind.choices) == set(fact["choices"]) | OWN_CHOICES.get(entry.flag, set())
    for name, bound in fact.get("bounds", {}).items():
        assert getattr(entry.kind, name) == bound
    if fact["status"] == "deprecated":
        assert entry.default is None
    else:
        default = OWN_DEFAULTS.get(entry.flag, default_of(fact["default"]))
        own_keys = OWN_KEYS.get(entry.flag)
        assert default_of(entry.default) == (default | own_keys if own_keys else default)


def default_of(value: Any) -> Any:
    if hasattr(value, "model_dump"):
        value = value.model_dump(exclude_none=True)
    return list(value) if isinstance(value, tuple) else value


def test_every_field_has_a_flag_of_the_dialect() -> None:
    assert {entry.flag for entry in entries()} == {fact["flag"] for fact in KEPT} | NODES


def test_no_flag_or_alias_has_two_meanings() -> None:
    names = [
        name for entry in entries() for name in (entry.flag, entry.negation, *entry.argument.aliases) if name
    ]
    names += removed_by_flag()

    assert len(names) == len(set(names))


@pytest.mark.parametrize("fact", REMOVED, ids=flag_of)
def test_every_removed_flag_is_translated_or_refused_with_a_reason(fact: dict[str, Any]) -> None:
    removed = removed_by_flag()[fact["flag"].replace("_", "-")]

    assert bool(removed.successor) != bool(removed.reason)
    assert removed.aliases == tuple(fact.get("aliases", ()))
    assert (removed.base == "bool") == (fact["type"] == "bool")


def test_every_deprecated_flag_has_a_successor_or_says_why_it_cannot_work() -> None:
    for fact in KEPT:
        entry = by_flag()[fact["flag"]]
        if fact["status"] == "deprecated":
            assert entry.argument.successor or entry.argument.state is State.REFUSED
