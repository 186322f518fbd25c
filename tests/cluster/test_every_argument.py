"""The API server, `from_spec` and the offline check come to the same verdict about every argument of both dialects,
good values and bad.

The offline check has all probes, in tests/unit/engine/config/test_two_verdicts.py. The API server takes 5 ms for one:
it is asked about every value once for each kind of argument, and for each argument about one value of each verdict.
"""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from argument_probes import accepted, probes, spec_of, whole
from installed import Cluster
from kubernetes import client, config

from paddock.engine.config.catalogue import Entry
from paddock.engine.config.groups import GROUPS
from paddock.engine.config.manifest.check import Fault, check

Verdict = Callable[[dict[str, Any]], tuple[dict[str, Any] | None, str]]
QUOTED = re.compile(r'"[^"]*"')
"""Values, and the types of values, in the words of a fault."""


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


@pytest.fixture(scope="module")
def seen() -> set[object]:
    """Kinds with values, and arguments with verdicts, that the API server was asked about."""
    return set()


def telling(group: str, seen: set[object]) -> Iterator[tuple[Entry, dict[str, Any], list[Fault]]]:
    """Argument, spec and what the offline check says of it, of the probes that are unlike those that were before."""
    for entry, value in probes(group):
        spec = spec_of(group, entry, value)
        offline = check(whole(spec))
        words = frozenset(QUOTED.sub("", fault.message) for fault in offline)
        kind = {(entry.kind, json.dumps(value)), (group, entry.spec_field, words)}
        if not kind <= seen:
            seen |= kind
            yield entry, spec, offline


@pytest.mark.cluster
@pytest.mark.parametrize("group", [*GROUPS, "sglang"])
def test_all_accept_or_refuse_the_same_values_and_name_the_field(
    dry_run: Verdict, group: str, seen: set[object]
) -> None:
    disagreements = []
    for entry, spec, offline in telling(group, seen):
        stored, message = dry_run(spec)
        if (stored is not None) != accepted(spec) or (stored is not None and not accepted(stored)):
            disagreements.append((spec, message))
        if stored is None and entry.spec_field not in message:
            disagreements.append((spec, f"the field is not named: {message}"))
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
