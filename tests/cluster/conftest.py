"""The real cluster of the tests: two nodes, the images, the chart, and a client pod. Brought up once, taken down at the end."""

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from helm import install_chart
from installed import MODEL, Cluster
from kubectl import Kubectl
from local import bring_up, command
from manifests import claim_on, client_pod, namespace

CLUSTER_NAME = "test"


@pytest.fixture(scope="session")
def bare_cluster() -> Iterator[Cluster]:
    """Two Ready nodes with the images loaded, nothing installed."""
    try:
        yield bring_up(CLUSTER_NAME)
    finally:
        command(CLUSTER_NAME, "down", "--purge")


@pytest.fixture(scope="session")
def cluster(bare_cluster: Cluster) -> Cluster:
    """The chart installed as a user would, in its own namespace."""
    install_chart(bare_cluster)
    return bare_cluster


@pytest.fixture(scope="session")
def client(cluster: Cluster) -> Kubectl:
    """A pod named `client` in namespace `clients`; `exec_python("client", …)` asks from inside the cluster."""
    kubectl = cluster.kubectl.in_namespace("clients")
    cluster.kubectl.apply(namespace("clients"))
    kubectl.apply(client_pod("client", cluster.server_image))
    kubectl.run("wait", "--for=condition=Ready", "pod/client", "--timeout=120s")
    return kubectl


def namespace_of(request: pytest.FixtureRequest) -> str:
    """A name for the namespace of this test and its parameters."""
    digest = hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:8]
    words = request.node.name.split("[")[0].removeprefix("test_").replace("_", "-")
    return f"t-{words[:40].rstrip('-')}-{digest}"


@contextmanager
def fresh_namespace(cluster: Cluster, name: str, *, restricted: bool) -> Iterator[Kubectl]:
    """A namespace for one test, deleted after it with everything in it; the next test need not wait for that."""
    cluster.kubectl.apply(namespace(name, restricted=restricted))
    yield cluster.kubectl.in_namespace(name)
    cluster.kubectl.run("delete", "namespace", name, "--wait=false")


@pytest.fixture
def models(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[Kubectl]:
    """A fresh namespace under the restricted Pod Security Standard."""
    with fresh_namespace(cluster, namespace_of(request), restricted=True) as kubectl:
        yield kubectl


@pytest.fixture
def lenient_models(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[Kubectl]:
    """A fresh namespace that admits host paths."""
    with fresh_namespace(cluster, f"{namespace_of(request)}-l", restricted=False) as kubectl:
        yield kubectl


@pytest.fixture
def model_claim(models: Kubectl) -> Iterator[str]:
    """A bound PersistentVolumeClaim that holds the tiny model at its root."""
    volume = f"{models.namespace}-model"
    models.apply(*claim_on(str(MODEL), volume, "model", "ReadOnlyMany"))
    yield "model"
    models.run("delete", "persistentvolume", volume, "--wait=false")


@pytest.fixture
def corrupt_model() -> Iterator[Path]:
    """A copy of the tiny model whose weights are cut in the middle, beside the real one so that the chart allows it."""
    folder = MODEL.parent / "corrupt"
    shutil.copytree(MODEL, folder, dirs_exist_ok=True)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100_000])
    yield folder
    shutil.rmtree(folder)
