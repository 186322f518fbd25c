"""Pods find the nodes that have their devices: counted ones, which a node says it has, and claimed ones, from a driver's list.

The kubelet runs pods with devices that nobody hands out as any others, so the service also answers; a claimed device is
handed out by its driver, so that pod is placed and then waits.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from asking import ask
from installed import Cluster, available, engine_pods, said, service_url
from kubectl import Kubectl, Manifest
from manifests import inference_service
from waiting import NotYet, until

PRODUCT = {"nvidia.com/gpu.product": "NVIDIA-H200"}
GPU, NIC = "nvidia.com/gpu", "rdma/hca"
DRIVER = "gpu.example.com"


@pytest.fixture(scope="module")
def gpu_node(cluster: Cluster) -> Iterator[str]:
    """The second node, with two GPUs and a network card that pods can count on."""
    node = str(cluster.kubectl.list("nodes")[1]["metadata"]["name"])
    [(label, product)] = PRODUCT.items()
    _counted(cluster, node, {GPU: "2", NIC: "1"})
    cluster.kubectl.run("label", "node", node, f"{label}={product}")
    yield node
    cluster.kubectl.run("label", "node", node, f"{label}-")
    _counted(cluster, node, {GPU: None, NIC: None})


def _counted(cluster: Cluster, node: str, devices: dict[str, str | None]) -> None:
    patch = json.dumps({"status": {"capacity": devices, "allocatable": devices}})
    cluster.kubectl.run("patch", "node", node, "--subresource=status", "--type=merge", "-p", patch)


def placed(models: Kubectl, name: str) -> Manifest:
    """The pod of a service of one pod, once it has a node."""

    def bound() -> Manifest:
        for pod in engine_pods(models, name):
            if pod["spec"].get("nodeName"):
                return pod
        raise NotYet("no pod has a node")

    return until(bound, seconds=60, what=f"a node for {name}", every=0.3)


def test_a_pod_takes_a_gpu_for_each_rank_on_a_node_that_has_them_and_the_next_waits(
    cluster: Cluster, models: Kubectl, client: Kubectl, gpu_node: str
) -> None:
    template = {"accelerator": GPU, "nodeSelector": PRODUCT, "resources": {"limits": {NIC: 1}}}
    wanted: dict[str, Any] = {"template": template, "parallel": {"tensorParallelSize": 2}}
    models.apply(inference_service("two", cluster.model_uri, **wanted))

    available(models, "two", replicas=1)
    pod = placed(models, "two")
    [engine] = pod["spec"]["containers"]
    assert pod["spec"]["nodeName"] == gpu_node
    assert {name: engine["resources"]["limits"][name] for name in (GPU, NIC)} == {GPU: "2", NIC: "1"}
    assert "/dev/shm" in {mount["mountPath"] for mount in engine["volumeMounts"]}
    assert (
        "Paris"
        in ask(client, service_url(models, "two"), "What is the capital of France?", model="two")["text"]
    )

    models.run("scale", "infsvc/two", "--replicas=2")
    said(models, "two", "Degraded", "True", f"Insufficient {GPU}")
    assert models.get("infsvc", "two")["status"]["readyReplicas"] == 1


def test_a_claimed_device_decides_on_the_node(
    cluster: Cluster, models: Kubectl, device_class: str, gpu_node: str
) -> None:
    models.apply(_claim_template("gpus", device_class))
    claims = [{"name": "gpu", "resourceClaimTemplateName": "gpus"}]
    models.apply(inference_service("claimed", cluster.model_uri, template={"resourceClaims": claims}))

    pod = placed(models, "claimed")
    assert pod["spec"]["nodeName"] == gpu_node
    assert pod["spec"]["containers"][0]["resources"]["claims"] == [{"name": "gpu"}]
    [claim] = models.list("resourceclaims")
    [device] = claim["status"]["allocation"]["devices"]["results"]
    assert (device["driver"], device["device"]) == (DRIVER, "gpu-0")


@pytest.fixture
def device_class(cluster: Cluster, gpu_node: str) -> Iterator[str]:
    """A class of devices, of which a driver has listed one, on the node with GPUs."""
    selector = {"cel": {"expression": f"device.driver == '{DRIVER}'"}}
    pool = {"name": gpu_node, "generation": 1, "resourceSliceCount": 1}
    listed = {"driver": DRIVER, "nodeName": gpu_node, "pool": pool, "devices": [{"name": "gpu-0"}]}
    cluster.kubectl.apply(
        _resource("DeviceClass", DRIVER, {"selectors": [selector]}),
        _resource("ResourceSlice", f"{gpu_node}-gpus", listed),
    )
    yield DRIVER
    cluster.kubectl.run("delete", f"deviceclass/{DRIVER}", f"resourceslice/{gpu_node}-gpus")


def _claim_template(name: str, device_class: str) -> Manifest:
    request = {"name": "gpu", "exactly": {"deviceClassName": device_class}}
    return _resource("ResourceClaimTemplate", name, {"spec": {"devices": {"requests": [request]}}})


def _resource(kind: str, name: str, spec: dict[str, Any]) -> Manifest:
    return {"apiVersion": "resource.k8s.io/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}
