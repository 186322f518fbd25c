"""Objects stored under the previous CustomResourceDefinition still load, unchanged, under the present one."""

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from installed import Cluster
from kubectl import Kubectl
from waiting import until

from paddock.engine.config import from_spec
from paddock.operator.crd import definition

PREVIOUS = Path(__file__).with_name("previous-crd.yaml.gz")
GROUP = "previous.paddock.dev"
"""A group of the test's own: the definition that the other tests use stays as it is."""

NAME = f"inferenceservices.{GROUP}"
RESOURCE = f"inferenceservices.v1alpha1.{GROUP}"

SPECS: dict[str, dict[str, Any]] = {
    "smallest": {"model": {"uri": "pvc://models"}},
    "full": {
        "replicas": 2,
        "model": {
            "uri": "pvc://models/a",
            "maxModelLen": "32k",
            "servedModelName": ["a", "b"],
            "overrideGenerationConfig": {"topK": 3, "temperature": 0.5},
        },
        "cache": {"blockSize": 32, "gpuMemoryUtilization": 0.5, "kvCacheMemoryBytes": "1.5g"},
        "scheduler": {"maxNumSeqs": 64, "maxNumBatchedTokens": "8K", "enableChunkedPrefill": True},
        "frontend": {
            "apiKeySecretRef": {"name": "keys", "key": "key"},
            "allowedOrigins": ["x"],
            "port": 8080,
        },
        "service": {"disableLogRequests": False},
        "template": {"resources": {"limits": {"memory": "2Gi"}}, "nodeSelector": {"a": "b"}},
        "rollout": {"drainTimeout": "2m", "maxSurge": 1},
    },
}


def regrouped(crd: dict[str, Any]) -> dict[str, Any]:
    """The definition under the test's group. Short names are left out: they belong to the real one."""
    names = {
        key: value for key, value in crd["spec"]["names"].items() if key not in ("shortNames", "categories")
    }
    return {**crd, "metadata": {"name": NAME}, "spec": {**crd["spec"], "group": GROUP, "names": names}}


@pytest.fixture
def upgraded(cluster: Cluster) -> Iterator[Kubectl]:
    """Objects created under the previous definition, which the present one then replaced."""
    kubectl = cluster.kubectl.in_namespace("default")
    try:
        install(kubectl, yaml.safe_load(gzip.decompress(PREVIOUS.read_bytes())))
        for name, spec in SPECS.items():
            kubectl.apply(
                {
                    "apiVersion": f"{GROUP}/v1alpha1",
                    "kind": "InferenceService",
                    "metadata": {"name": name},
                    "spec": spec,
                }
            )
        install(kubectl, definition())
        yield kubectl
    finally:
        kubectl.run(
            "delete", "customresourcedefinition", NAME, "--ignore-not-found", "--timeout=60s", timeout=70
        )


def install(kubectl: Kubectl, crd: dict[str, Any]) -> None:
    kubectl.apply(regrouped(crd))
    until(lambda: is_established(kubectl), seconds=60, what=f"{NAME} to be established")


def is_established(kubectl: Kubectl) -> bool:
    # `kubectl wait` fails where there are no conditions yet.
    conditions = kubectl.get("customresourcedefinition", NAME).get("status", {}).get("conditions") or []
    return any((each["type"], each["status"]) == ("Established", "True") for each in conditions)


@pytest.mark.cluster
def test_stored_objects_load_and_can_be_changed(upgraded: Kubectl) -> None:
    until_served(upgraded)
    for name, spec in SPECS.items():
        loaded = upgraded.get(RESOURCE, name)["spec"]

        assert contains(loaded, spec)
        assert from_spec(loaded) == from_spec(spec)
        upgraded.run("patch", RESOURCE, name, "--type=merge", "--patch", '{"spec": {"replicas": 3}}')
        assert upgraded.get(RESOURCE, name)["spec"]["replicas"] == 3


def until_served(kubectl: Kubectl) -> None:
    """The API server serves the present schema a moment after the definition changed."""
    probe = '{"spec": {"backend": "vllm"}}'

    def takes_new_fields() -> bool:
        kubectl.run("patch", RESOURCE, "smallest", "--type=merge", "--patch", probe)
        return "backend" in kubectl.get(RESOURCE, "smallest")["spec"]

    until(takes_new_fields, seconds=60, what="the present definition to come into use")


def contains(whole: Any, part: Any) -> bool:
    """Whether everything in `part` is in `whole`; defaults may have joined it."""
    if isinstance(part, dict):
        return all(key in whole and contains(whole[key], value) for key, value in part.items())
    return bool(whole == part)
