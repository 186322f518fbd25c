"""The previous release, its chart and its operator, is upgraded to this one under load: every service serves on."""

import io
import json
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from asking import ask
from helm import RELEASE, helm, install_chart
from installed import ROOT, Cluster, available, engine_pods, service_url
from kubectl import Kubectl, Manifest, condition
from local import command
from manifests import inference_service
from steady_load import steady_load
from waiting import NotYet, until

UNTAGGED = "55b1aca50a"
"""While no release has a tag: the state of main that this one began with."""

CRD = "inferenceservices.paddock.dev"
QUESTION = "What is the capital of France?"


def git(*words: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, check=False)


@pytest.fixture(scope="module")
def previous(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout of the last tag before this state, or of UNTAGGED."""
    tagged = git("describe", "--tags", "--abbrev=0", "HEAD^")
    revision = tagged.stdout.decode().strip() if tagged.returncode == 0 else UNTAGGED
    archived = git("archive", revision)
    if archived.returncode != 0:
        pytest.skip(f"this checkout has no history down to the previous release, {revision}")
    folder = tmp_path_factory.mktemp("previous")
    with tarfile.open(fileobj=io.BytesIO(archived.stdout)) as archive:
        archive.extractall(folder, filter="tar")
    return folder


@pytest.fixture
def released(cluster: Cluster, previous: Path) -> Iterator[Path]:
    """The previous release in place of this one, definition included: nothing of this one is left."""
    built = command(cluster.kubectl.kubeconfig.parent.name, "build-images", "--checkout", str(previous))
    # Its server would need kernels compiled for it; what is upgraded is the operator with its definition.
    old = replace(cluster, operator_image=json.loads(built)["operator"])
    remove(cluster)
    try:
        install_chart(old, chart=previous / "charts/paddock")
        yield previous
    finally:
        remove(cluster)
        install_chart(cluster)


def remove(cluster: Cluster) -> None:
    """The release, its definition, and with that every InferenceService."""
    helm(cluster, "uninstall", RELEASE, "--wait", "--timeout", "120s")
    cluster.kubectl.run("delete", "crd", CRD, "--timeout=120s", timeout=150)


def services(uri: str) -> list[Manifest]:
    return [
        inference_service("tiny", uri, replicas=2),
        inference_service("stages", uri, nodes=2, parallel={"pipelineParallelSize": 2}),
        inference_service("asleep", uri, replicas=0),
    ]


def identities(models: Kubectl) -> dict[str, Any]:
    """What an upgrade must leave as it is: pods with their restarts, templates, and the specs as they are stored."""
    pods = [pod for name in ("tiny", "stages") for pod in engine_pods(models, name)]
    restarts = {
        pod["metadata"]["uid"]: [each["restartCount"] for each in pod["status"]["containerStatuses"]]
        for pod in pods
    }
    sets = {each["metadata"]["name"]: each["metadata"]["generation"] for each in models.list("statefulsets")}
    specs = {each["metadata"]["name"]: each["metadata"]["generation"] for each in models.list("infsvc")}
    return {"restarts": restarts, "templates": sets, "specs": specs}


def answers(models: Kubectl, client: Kubectl) -> list[str]:
    return [
        ask(client, service_url(models, name), QUESTION, model=name)["text"] for name in ("tiny", "stages")
    ]


def all_serve(models: Kubectl) -> bool:
    for name in ("tiny", "stages"):
        resource = models.get("infsvc", name)
        states = [condition(resource, kind)["status"] for kind in ("Available", "Progressing", "Degraded")]
        if states != ["True", "False", "False"]:
            raise NotYet(f"{name}: {states}")
    return True


@pytest.mark.long
@pytest.mark.timeout(900)
def test_an_upgrade_from_the_previous_release_keeps_every_service_serving(
    cluster: Cluster, models: Kubectl, client: Kubectl, released: Path
) -> None:
    models.apply(*services(cluster.model_uri))
    until(lambda: all_serve(models), seconds=240, what="the services of the previous release", every=1)
    before, said = identities(models), answers(models, client)

    with steady_load(
        client,
        service_url(models, "tiny"),
        clients=8,
        tokens=96,
        title="an upgrade from the previous release",
    ) as tally:
        install_chart(cluster)
        helm(cluster, "test", RELEASE)
        until(lambda: all_serve(models), seconds=60, what="all services after the upgrade", every=1)

    assert tally.wrong == []
    assert min(tally.whole) > 0
    assert identities(models) == before
    assert answers(models, client) == said
    stored = cluster.kubectl.get("crd", CRD)["spec"]["versions"][0]["schema"]
    assert (
        stored == yaml.safe_load((ROOT / "crds" / f"{CRD}.yaml").read_text())["spec"]["versions"][0]["schema"]
    )
    models.apply(inference_service("tiny", cluster.model_uri, replicas=1))
    available(models, "tiny", replicas=1)
