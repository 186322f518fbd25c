"""The API server, `from_spec` and the offline check come to the same verdict about every argument of both dialects,
good values and bad."""

import json
from collections.abc import Callable
from itertools import islice
from typing import Any

import pytest
from argument_probes import accepted, probes, spec_of, whole
from installed import Cluster
from kubernetes import client, config

from paddock.engine.config.groups import GROUPS
from paddock.engine.config.manifest.check import Fault, check

Verdict = Callable[[dict[str, Any]], tuple[dict[str, Any] | None, str]]


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


@pytest.mark.cluster
@pytest.mark.parametrize("group", [*GROUPS, "sglang"])
def test_all_accept_or_refuse_the_same_values_and_name_the_field(dry_run: Verdict, group: str) -> None:
    disagreements = []
    # Of the dialect every third: the offline check has all of them, in tests/unit/engine/config/test_two_verdicts.py.
    for entry, value in islice(probes(group), 0, None, 3 if group == "sglang" else 1):
        spec = spec_of(group, entry, value)
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
