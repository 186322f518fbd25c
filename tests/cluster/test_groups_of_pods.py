"""A replica of several pods answers as one pod does, and a lost pod costs its own group only."""

import json
from typing import Any

import pytest
from asking import ask
from installed import Cluster, engine_pods, service_url
from kubectl import Kubectl, Manifest, condition
from manifests import inference_service
from waiting import NotYet, until

QUESTION = "What is the capital of France?"


def whole(models: Kubectl, name: str, *, pods: int) -> Manifest:
    """Wait until the service is available and settled with exactly so many pods, all ready."""

    def settled() -> Manifest:
        resource = models.get("infsvc", name)
        states = {kind: condition(resource, kind) for kind in ("Available", "Progressing")}
        ready = [condition(pod, "Ready")["status"] for pod in engine_pods(models, name)]
        if (*ready, *(state["status"] for state in states.values())) == ("True",) * (pods + 1) + ("False",):
            return resource
        raise NotYet(
            f"{ready}; " + "; ".join(f"{k}: {c['reason']}: {c['message']}" for k, c in states.items())
        )

    return until(settled, seconds=240, what=f"{name} to be available with {pods} pods", every=0.5)


@pytest.mark.parametrize(
    "sizes", [{"tensorParallelSize": 2}, {"pipelineParallelSize": 2}], ids=["tensor", "pipeline"]
)
def test_two_pods_answer_as_one_does(
    cluster: Cluster, models: Kubectl, client: Kubectl, sizes: dict[str, Any]
) -> None:
    models.apply(inference_service("one", cluster.model_uri))
    models.apply(inference_service("two", cluster.model_uri, nodes=2, parallel=sizes))
    whole(models, "one", pods=1)
    whole(models, "two", pods=2)

    expected = ask(client, service_url(models, "one"), QUESTION, model="one")
    answered = ask(client, service_url(models, "two"), QUESTION, model="two")

    assert answered["text"] == expected["text"]
    assert (
        models.run("get", "secret", "two-pods", "-o", "jsonpath={.metadata.ownerReferences[0].name}") == "two"
    )


def test_a_lost_pod_restarts_its_group_and_no_other(
    cluster: Cluster, models: Kubectl, client: Kubectl
) -> None:
    models.apply(
        inference_service("two", cluster.model_uri, nodes=2, replicas=2, parallel={"pipelineParallelSize": 2})
    )
    whole(models, "two", pods=4)

    def starts() -> dict[str, str]:
        return {
            pod["metadata"]["name"]: json.dumps(pod["status"]["containerStatuses"][0]["state"])
            for pod in engine_pods(models, "two")
        }

    before = starts()
    models.run("delete", "pod", "two-0-1", "--grace-period=0", "--force")

    def restarted() -> bool:
        now = starts()
        return all(now.get(name) not in (None, before[name]) for name in ("two-0-0", "two-0-1"))

    until(restarted, seconds=120, what="both pods of the group to start again")
    whole(models, "two", pods=4)
    after = starts()
    assert {name: after[name] for name in ("two-1-0", "two-1-1")} == {
        name: before[name] for name in ("two-1-0", "two-1-1")
    }
    assert "Paris" in ask(client, service_url(models, "two"), QUESTION, model="two")["text"]
