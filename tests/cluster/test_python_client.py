"""An InferenceService through the official `kubernetes` Python client: create, watch, scale, delete."""

from typing import Any

import pytest
from installed import Cluster, available
from kubectl import Kubectl, condition
from kubernetes import client, config, watch
from manifests import inference_service

KIND = {"group": "paddock.dev", "version": "v1alpha1", "plural": "inferenceservices"}


@pytest.fixture
def api(cluster: Cluster) -> Any:
    config.load_kube_config(str(cluster.kubectl.kubeconfig))
    return client.CustomObjectsApi()


def test_a_service_is_created_watched_scaled_and_deleted(cluster: Cluster, models: Kubectl, api: Any) -> None:
    where = {**KIND, "namespace": models.namespace}
    api.create_namespaced_custom_object(**where, body=inference_service("tiny", cluster.model_uri))

    for event in watch.Watch().stream(api.list_namespaced_custom_object, **where, timeout_seconds=120):
        if condition(event["object"], "Available")["status"] == "True":
            break
    scale = {"spec": {"replicas": 2}}
    api.patch_namespaced_custom_object_scale(**where, name="tiny", body=scale)
    available(models, "tiny", replicas=2)
    read = api.get_namespaced_custom_object_scale(**where, name="tiny")
    api.delete_namespaced_custom_object(**where, name="tiny")

    assert read["status"]["replicas"] == 2
    assert "pod-index=0" in read["status"]["selector"]
