"""Faults that only the cluster can show: each becomes a condition that names its cause, and goes when it is mended."""

import json
import re
from pathlib import Path

from asking import ask
from installed import MODEL, Cluster, available, engine_pods, said, service_url
from kubectl import Kubectl, condition
from manifests import inference_service


def test_a_folder_outside_the_allowed_ones_is_not_accepted(cluster: Cluster, models: Kubectl) -> None:
    models.apply(inference_service("outside", "file:///etc"))

    said(models, "outside", "Accepted", "False", "/etc", "allows")
    assert engine_pods(models, "outside") == []


def test_a_bad_edit_leaves_the_last_good_pods_running(
    cluster: Cluster, models: Kubectl, client: Kubectl
) -> None:
    models.apply(inference_service("tiny", cluster.model_uri))
    available(models, "tiny", replicas=1)

    models.apply(inference_service("tiny", "file:///etc"))
    said(models, "tiny", "Accepted", "False", "/etc")

    assert (
        "Paris"
        in ask(client, service_url(models, "tiny"), "What is the capital of France?", model="tiny")["text"]
    )


def test_a_missing_model_folder_is_named(cluster: Cluster, lenient_models: Kubectl) -> None:
    missing = f"file://{MODEL.parent}/model-that-is-not-there"

    lenient_models.apply(inference_service("missing", missing))

    said(lenient_models, "missing", "ModelReady", "False", "model-that-is-not-there")
    said(lenient_models, "missing", "Available", "False")


def test_corrupt_weights_are_named_with_the_file(
    cluster: Cluster, lenient_models: Kubectl, corrupt_model: Path
) -> None:
    lenient_models.apply(inference_service("corrupt", f"file://{corrupt_model}"))

    found = said(lenient_models, "corrupt", "ModelReady", "False", "exit code 1", "model.safetensors")
    assert re.fullmatch(
        r"corrupt-0-0: exit code 1(, [^:]+)?: /models/model/model.safetensors: is corrupt .*",
        found["message"],
    ), found["message"]
    assert found["message"].count("model.safetensors") == 1


def test_a_host_path_in_a_restricted_namespace_is_explained(cluster: Cluster, models: Kubectl) -> None:
    models.apply(inference_service("forbidden", cluster.host_uri))

    said(models, "forbidden", "Degraded", "True", "PodRefused", "hostPath", "restricted")


def test_a_missing_secret_is_named(cluster: Cluster, models: Kubectl) -> None:
    reference = {"apiKeySecretRef": {"name": "nowhere", "key": "key"}}

    models.apply(inference_service("locked", cluster.model_uri, frontend=reference))

    said(models, "locked", "Degraded", "True", "nowhere")


def test_a_missing_claim_is_named(cluster: Cluster, models: Kubectl) -> None:
    models.apply(inference_service("unclaimed", "pvc://no-such-claim"))

    said(models, "unclaimed", "ModelReady", "False", "no-such-claim")


def test_an_image_that_cannot_be_pulled_is_named(cluster: Cluster, models: Kubectl) -> None:
    models.apply(inference_service("imageless", "oci://localhost/no-such-model:v1"))

    said(models, "imageless", "ModelReady", "False", "no-such-model")


def test_a_pod_that_fits_no_node_repeats_the_scheduler(cluster: Cluster, models: Kubectl) -> None:
    template = {"resources": {"requests": {"memory": "4Ti"}}}

    models.apply(inference_service("huge", cluster.model_uri, template=template))

    said(models, "huge", "Degraded", "True", "Insufficient memory")


def test_a_fault_is_gone_from_the_status_once_mended(cluster: Cluster, models: Kubectl) -> None:
    models.apply(inference_service("mended", cluster.model_uri, template={"nodeSelector": {"disk": "none"}}))
    said(models, "mended", "Degraded", "True")

    models.apply(inference_service("mended", cluster.model_uri))

    resource = available(models, "mended", replicas=1)
    assert condition(resource, "Degraded")["status"] == "False"
    assert "disk" not in json.dumps(resource["status"])
