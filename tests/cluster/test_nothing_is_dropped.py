"""Under a steady load of streaming clients no change of a service costs a request."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from helm import SYSTEM_NAMESPACE
from installed import Cluster, available, engine_pods, said, service_url
from kubectl import Kubectl, Manifest, condition
from manifests import inference_service
from steady_load import steady_load
from waiting import NotYet, until

CLIENTS = 8
TOKENS = 96


def tiny(uri: str, replicas: int, **spec: object) -> Manifest:
    """Two replicas at least serve meanwhile: one more comes before one goes."""
    rollout = {"maxSurge": 1, "maxUnavailable": 0, "drainTimeout": "60s"}
    return inference_service("tiny", uri, replicas=replicas, rollout=rollout, **spec)


def evict(models: Kubectl, pod: Manifest) -> None:
    """As `kubectl drain` asks for it, again and again until the budget allows it."""
    name = pod["metadata"]["name"]
    path = f"/api/v1/namespaces/{models.namespace}/pods/{name}/eviction"
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}

    def allowed() -> bool:
        asked = models.try_run("create", "--raw", path, "-f", "-", stdin=json.dumps(eviction))
        if asked.returncode != 0:
            raise NotYet(asked.stderr)
        return True

    until(allowed, seconds=60, what=f"the eviction of {name}", every=1)
    until(
        lambda: pod["metadata"]["uid"] not in {each["metadata"]["uid"] for each in models.list("pods")},
        seconds=90,
        what=f"{name} to end",
    )


def restart_operator(cluster: Cluster) -> None:
    system = cluster.kubectl.in_namespace(SYSTEM_NAMESPACE)
    system.run("rollout", "restart", "deployment", "-l", "app.kubernetes.io/component=operator")
    system.run(
        "rollout", "status", "deployment", "-l", "app.kubernetes.io/component=operator", "--timeout=90s"
    )


@pytest.mark.long
def test_changes_and_evictions_drop_no_request(cluster: Cluster, models: Kubectl, client: Kubectl) -> None:
    models.apply(tiny(cluster.model_uri, 2))
    available(models, "tiny", replicas=2)

    with steady_load(client, service_url(models, "tiny"), clients=CLIENTS, tokens=TOKENS) as tally:
        models.apply(tiny(cluster.model_uri, 2, scheduler={"maxNumSeqs": 24}))
        available(models, "tiny", replicas=2)
        evict(models, engine_pods(models, "tiny")[0])
        available(models, "tiny", replicas=2)
        restart_operator(cluster)
        models.apply(tiny(cluster.model_uri, 1, scheduler={"maxNumSeqs": 24}))
        available(models, "tiny", replicas=1)

    assert tally.wrong == []
    assert min(tally.whole) > 0


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
    before = {pod["metadata"]["uid"] for pod in engine_pods(models, "tiny")}

    with steady_load(client, service_url(models, "tiny"), clients=CLIENTS, tokens=TOKENS) as tally:
        models.apply(tiny(f"file://{corrupt_model}", 2))
        said(models, "tiny", "Progressing", "False", "Blocked", "model.safetensors")
        said(models, "tiny", "Degraded", "True", "ModelLoadFailed", "model.safetensors")
        said(models, "tiny", "Available", "True", "2 of 2")
        shown = paddock_status(models)
        models.apply(good)
        resource = available(models, "tiny", replicas=2)

    print(shown.stdout)
    assert shown.returncode == 1
    assert "wrong: ModelLoadFailed" in shown.stdout
    assert "apply the previous manifest" in shown.stdout
    assert condition(resource, "Degraded")["status"] == "False"
    assert {pod["metadata"]["uid"] for pod in engine_pods(models, "tiny")} == before
    assert tally.wrong == []
