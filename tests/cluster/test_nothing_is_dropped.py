"""Under a steady load of streaming clients no change of a service costs a request."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from helm import install_chart
from installed import MODEL, Cluster, available, engine_pods, said, service_url
from kubectl import Kubectl, Manifest
from local import command
from manifests import inference_service
from steady_load import steady_load

CLIENTS = 20
TOKENS = 96


def tiny(uri: str, replicas: int, **spec: object) -> Manifest:
    """Two replicas at least serve meanwhile: one more comes before one goes."""
    rollout = {"maxSurge": 1, "maxUnavailable": 0, "drainTimeout": "60s"}
    return inference_service("tiny", uri, replicas=replicas, rollout=rollout, **spec)


@contextmanager
def nothing_dropped(client: Kubectl, models: Kubectl, change: str) -> Iterator[None]:
    """Streams from before the change until after it: every one of every client comes whole."""
    url = service_url(models, "tiny")
    with steady_load(client, url, clients=CLIENTS, tokens=TOKENS, title=change) as tally:
        yield
    assert tally.wrong == []
    assert min(tally.whole) > 0


def pod_uids(models: Kubectl) -> set[str]:
    return {pod["metadata"]["uid"] for pod in engine_pods(models, "tiny")}


def rolled(models: Kubectl, manifest: Manifest, replicas: int = 2) -> None:
    """Apply it and wait until no pod from before is left."""
    before = pod_uids(models)
    models.apply(manifest)
    available(models, "tiny", replicas=replicas)
    assert not before & pod_uids(models)


def under_way(models: Kubectl, manifest: Manifest) -> None:
    """Apply it and wait until a replica that follows it is being made."""
    models.apply(manifest)
    said(models, "tiny", "Progressing", "True", "RollingOut", "1 of 2 replicas follow")


def drain(cluster: Cluster, models: Kubectl) -> None:
    """`kubectl drain` of a node with a replica, which may come back to it afterwards."""
    victim = engine_pods(models, "tiny")[0]
    node, uid = victim["spec"]["nodeName"], victim["metadata"]["uid"]
    try:
        cluster.kubectl.run(
            *("drain", node, "--pod-selector=paddock.dev/service=tiny", "--ignore-daemonsets"),
            *("--delete-emptydir-data", "--timeout=120s"),
            timeout=150,
        )
        available(models, "tiny", replicas=2)
    finally:
        cluster.kubectl.run("uncordon", node)
    assert uid not in pod_uids(models)


@pytest.fixture
def other_images(cluster: Cluster) -> tuple[str, str]:
    """The operator's and the server's image under a second name each."""
    name = cluster.kubectl.kubeconfig.parent.name
    first = (cluster.operator_image, cluster.server_image)
    operator, server = (command(name, "tag-image", image, f"{image}-next") for image in first)
    return operator, server


@pytest.fixture
def other_model() -> Iterator[Path]:
    """The tiny model in another folder, beside the real one so that the chart allows it."""
    folder = MODEL.parent / "another"
    shutil.copytree(MODEL, folder, dirs_exist_ok=True)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.long
@pytest.mark.timeout(1500)
def test_no_change_of_a_service_drops_a_request(
    cluster: Cluster,
    lenient_models: Kubectl,
    client: Kubectl,
    other_images: tuple[str, str],
    other_model: Path,
) -> None:
    models, (operator_image, server_image) = lenient_models, other_images
    models.apply(tiny(cluster.host_uri, 2))
    available(models, "tiny", replicas=2)

    with nothing_dropped(client, models, "an argument"):
        rolled(models, tiny(cluster.host_uri, 2, scheduler={"maxNumSeqs": 24}))
    with nothing_dropped(client, models, "the image"):
        rolled(models, tiny(cluster.host_uri, 2, template={"image": server_image}))
    with nothing_dropped(client, models, "the model"):
        rolled(models, tiny(f"file://{other_model}", 2))
    with nothing_dropped(client, models, "a second edit and a revert in the middle"):
        under_way(models, tiny(f"file://{other_model}", 2, scheduler={"maxNumSeqs": 24}))
        under_way(models, tiny(f"file://{other_model}", 2, scheduler={"maxNumSeqs": 28}))
        models.apply(tiny(f"file://{other_model}", 2))
        available(models, "tiny", replicas=2)
    with nothing_dropped(client, models, "the drain of a node"):
        drain(cluster, models)
    with nothing_dropped(client, models, "an upgrade of the operator"):
        before = pod_uids(models)
        upgraded = ("--set", f"operator.image={operator_image}", "--set", f"server.image={server_image}")
        install_chart(cluster, *upgraded)
        available(models, "tiny", replicas=2)
        assert pod_uids(models) == before
    with nothing_dropped(client, models, "a scale-down"):
        models.apply(tiny(f"file://{other_model}", 1))
        available(models, "tiny", replicas=1)
    install_chart(cluster)


def paddock_status(models: Kubectl) -> subprocess.CompletedProcess[str]:
    """What a person sees of the service."""
    command = [sys.executable, "-m", "paddock.server", "status", "tiny", "-n", models.namespace]
    path = f"{Path(models.program).parent}:{os.environ['PATH']}"
    environ = {**os.environ, "KUBECONFIG": str(models.kubeconfig), "PATH": path}
    return subprocess.run(command, capture_output=True, text=True, env=environ, check=False)


@pytest.mark.long
def test_a_model_that_does_not_load_stops_the_rollout_and_the_previous_manifest_undoes_it(
    cluster: Cluster, lenient_models: Kubectl, client: Kubectl, corrupt_model: Path
) -> None:
    models = lenient_models
    good = tiny(cluster.model_uri, 2)
    models.apply(good)
    available(models, "tiny", replicas=2)
    before = pod_uids(models)

    with nothing_dropped(client, models, "a model that does not load, and back"):
        models.apply(tiny(f"file://{corrupt_model}", 2))
        said(models, "tiny", "Progressing", "False", "Blocked", "model.safetensors")
        said(models, "tiny", "Degraded", "True", "ModelLoadFailed", "model.safetensors")
        said(models, "tiny", "Available", "True", "2 of 2")
        shown = paddock_status(models)
        models.apply(good)
        available(models, "tiny", replicas=2)
        # The pod of the model that does not load may outlast its StatefulSet for a moment.
        said(models, "tiny", "Degraded", "False")

    print(shown.stdout)
    assert shown.returncode == 1
    assert "wrong: ModelLoadFailed" in shown.stdout
    assert "apply the previous manifest" in shown.stdout
    assert pod_uids(models) == before
