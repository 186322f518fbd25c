"""The API server, `from_spec` and the offline check come to the same verdict about every argument of both dialects,
good values and bad."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from installed import Cluster
from kubernetes import client, config

from paddock.engine.config import SpecError, from_spec
from paddock.engine.config.catalogue import Entry, spec_entries
from paddock.engine.config.groups import GROUPS
from paddock.engine.config.kinds import Kind, kind_of
from paddock.engine.config.manifest.check import Fault, check
from paddock.engine.config.naming import camel
from paddock.engine.config.sglang.catalogue import sglang_spec_entries

Verdict = Callable[[dict[str, Any]], tuple[dict[str, Any] | None, str]]

ANYTHING: list[Any] = [
    "word",
    "",
    "9",
    "1.5k",
    "32K",
    "{}",
    '{"a": 1}',
    -1,
    0,
    1,
    2,
    0.5,
    8.0,
    16.0,
    True,
    False,
    [],
    ["a"],
    [1],
    {},
]
SECRETS: list[Any] = [
    {"name": "a", "key": "b"},
    {"name": "a"},
    {"name": "a", "key": "b c"},
    {"name": "", "key": "b"},
    3,
]
ADAPTERS: list[Any] = [[{"name": "a", "path": "b"}], [{"name": "a"}], [{"name": "", "path": "b"}]]


@pytest.fixture(scope="module")
def dry_run(cluster: Cluster) -> Verdict:
    """Create an InferenceService without storing it: what would be stored, or why not."""
    api = client.CustomObjectsApi(config.new_client_from_config(str(cluster.kubectl.kubeconfig)))

    def create(spec: dict[str, Any]) -> tuple[dict[str, Any] | None, str]:
        try:
            stored = api.create_namespaced_custom_object(
                "paddock.dev",
                "v1alpha1",
                "default",
                "inferenceservices",
                whole(spec),
                dry_run="All",
                field_validation="Strict",
            )
        except client.ApiException as error:
            return None, str(json.loads(error.body)["message"])
        return stored["spec"], ""

    return create


def whole(spec: dict[str, Any]) -> dict[str, Any]:
    """An InferenceService with this spec and a model."""
    return {
        "apiVersion": "paddock.dev/v1alpha1",
        "kind": "InferenceService",
        "metadata": {"name": "a"},
        "spec": {**spec, "model": {"uri": "file:///models/a", **spec.get("model", {})}},
    }


@pytest.mark.cluster
@pytest.mark.parametrize("group", [*GROUPS, "sglang"])
def test_all_accept_or_refuse_the_same_values_and_name_the_field(dry_run: Verdict, group: str) -> None:
    disagreements = []
    for entry, value in probes(group):
        spec = {camel(group): {entry.spec_field: value}} | ({"backend": group} if group == "sglang" else {})
        stored, message = dry_run(spec)
        if (stored is not None) != accepted(spec) or (stored is not None and not accepted(stored)):
            disagreements.append((spec, message))
        if stored is None and entry.spec_field not in message:
            disagreements.append((spec, f"the field is not named: {message}"))
        offline = check(whole(spec))
        if bool(offline) != (stored is None) or (
            offline and not any(same(each, message) for each in offline)
        ):
            disagreements.append((spec, f"offline {offline}, but {message}"))

    assert disagreements == []


def same(fault: Fault, message: str) -> bool:
    """Whether the API server's message holds the fault; it may name further ones."""
    return fault.message in message and fault.path in message


@pytest.mark.cluster
@pytest.mark.parametrize(
    ("scheduler", "good"),
    [
        ({"maxNumBatchedTokens": "1K", "maxNumSeqs": 1024}, True),
        ({"maxNumBatchedTokens": "1k", "maxNumSeqs": 1001}, False),
        ({"maxNumBatchedTokens": 63, "maxNumSeqs": 64}, False),
        ({"maxNumBatchedTokens": "0.064k", "maxNumSeqs": 64}, True),
        ({"maxNumSeqs": 2049}, True),
        ({"enableChunkedPrefill": False}, True),
        ({"enableChunkedPrefill": False, "maxNumBatchedTokens": "2k"}, False),
        ({"enableChunkedPrefill": False, "maxNumBatchedTokens": "32K"}, True),
        ({"enableChunkedPrefill": False, "maxNumBatchedTokens": "32k"}, False),
    ],
)
def test_both_compute_with_sizes_alike(dry_run: Verdict, scheduler: dict[str, Any], good: bool) -> None:
    spec = {"model": {"maxModelLen": "32K"}, "scheduler": scheduler}
    stored, message = dry_run(spec)

    assert (stored is not None, accepted(spec)) == (good, good), message


def accepted(spec: dict[str, Any]) -> bool:
    try:
        from_spec(spec)
    except SpecError:
        return False
    return True


def probes(group: str) -> Iterator[tuple[Entry, Any]]:
    entries = sglang_spec_entries() if group == "sglang" else spec_entries(group)
    for entry in entries.values():
        values = SECRETS if entry.argument.secret else [*ANYTHING, *edges(entry.kind), *keys(entry.kind)]
        seen = {json.dumps(value): value for value in values}
        yield from ((entry, value) for value in seen.values())


def edges(kind: Kind) -> Iterator[Any]:
    yield from kind.choices
    for bound in (kind.ge, kind.gt, kind.le, kind.lt):
        if bound is not None:
            yield from (bound - 1, bound, bound + 1)
    if kind.max_length and kind.base == "str":
        yield from ("x" * kind.max_length, "x" * (kind.max_length + 1))


def keys(kind: Kind) -> Iterator[Any]:
    if kind.item is not None and kind.item.structure is not None:
        yield from ADAPTERS
    if kind.structure is None:
        return
    for name, info in kind.structure.model_fields.items():
        inner = kind_of(info)
        yield from ({camel(name): value} for value in [-1, 1, "word", True, [1], *edges(inner)])
