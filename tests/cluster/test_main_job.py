"""The main job: apply an InferenceService, get an OpenAI answer from inside the cluster, change it, delete it."""

import json

import pytest
from asking import ask
from installed import Cluster, available, engine_pods, service_url
from kubectl import Kubectl, condition
from manifests import inference_service
from waiting import NotYet, until

QUESTION = "What is the capital of France?"


def test_an_applied_service_answers_by_its_dns_name(
    cluster: Cluster, models: Kubectl, client: Kubectl
) -> None:
    models.apply(inference_service("tiny", cluster.model_uri, replicas=2))

    resource = available(models, "tiny", replicas=2)
    answer = ask(client, service_url(models, "tiny"), QUESTION, model="tiny")

    assert "Paris" in answer["text"]
    assert answer["usage"]["completion_tokens"] > 0
    assert resource["status"]["url"] == service_url(models, "tiny")
    assert condition(resource, "Accepted")["status"] == "True"
    assert condition(resource, "ModelReady")["status"] == "True"
    assert condition(resource, "Degraded")["status"] == "False"
    assert resource["status"]["observedGeneration"] == resource["metadata"]["generation"]


def test_replicas_run_on_both_nodes_under_the_restricted_standard(cluster: Cluster, models: Kubectl) -> None:
    models.apply(inference_service("tiny", cluster.model_uri, replicas=2))

    available(models, "tiny", replicas=2)

    nodes = {pod["spec"]["nodeName"] for pod in engine_pods(models, "tiny")}
    assert len(nodes) == 2


def test_kubectl_scale_changes_the_number_of_groups(cluster: Cluster, models: Kubectl) -> None:
    models.apply(inference_service("tiny", cluster.model_uri, replicas=1))
    available(models, "tiny", replicas=1)

    models.run("scale", "infsvc/tiny", "--replicas=3")
    available(models, "tiny", replicas=3)
    models.run("scale", "infsvc/tiny", "--replicas=1")
    available(models, "tiny", replicas=1)

    assert len(engine_pods(models, "tiny")) == 1


def test_an_updated_argument_rolls_the_pods_and_takes_effect(
    cluster: Cluster, models: Kubectl, client: Kubectl
) -> None:
    models.apply(inference_service("tiny", cluster.model_uri, model={"maxModelLen": 512}))
    available(models, "tiny", replicas=1)
    before = {pod["metadata"]["uid"] for pod in engine_pods(models, "tiny")}

    models.apply(inference_service("tiny", cluster.model_uri, model={"maxModelLen": 256}))
    available(models, "tiny", replicas=1)

    after = {pod["metadata"]["uid"] for pod in engine_pods(models, "tiny")}
    refused = ask(client, service_url(models, "tiny"), "word " * 300, model="tiny")
    assert not before & after
    assert refused["status"] == 400
    assert "maximum context length" in refused["message"]
    assert "256" in refused["message"]


def test_deleting_the_service_leaves_no_object(cluster: Cluster, models: Kubectl) -> None:
    models.apply(inference_service("tiny", cluster.model_uri))
    available(models, "tiny", replicas=1)

    models.run("delete", "infsvc", "tiny")

    kinds = (
        "statefulsets,services,pods,configmaps,serviceaccounts,poddisruptionbudgets,persistentvolumeclaims"
    )
    until(
        lambda: not models.list(kinds, "paddock.dev/service=tiny"),
        seconds=60,
        what="every object of the service to go",
    )


def test_a_killed_pod_comes_back_and_the_service_with_it(
    cluster: Cluster, models: Kubectl, client: Kubectl
) -> None:
    models.apply(inference_service("tiny", cluster.model_uri))
    available(models, "tiny", replicas=1)
    [victim] = engine_pods(models, "tiny")

    models.run("delete", "pod", victim["metadata"]["name"], "--grace-period=0", "--force")

    def replaced() -> bool:
        return all(pod["metadata"]["uid"] != victim["metadata"]["uid"] for pod in engine_pods(models, "tiny"))

    until(replaced, seconds=60, what="the killed pod to be replaced")
    available(models, "tiny", replicas=1)
    assert "Paris" in ask(client, service_url(models, "tiny"), QUESTION, model="tiny")["text"]


@pytest.mark.long
def test_killing_the_operator_in_the_middle_of_a_rollout_converges(
    cluster: Cluster, models: Kubectl, client: Kubectl
) -> None:
    models.apply(inference_service("tiny", cluster.model_uri, replicas=2, model={"maxModelLen": 512}))
    available(models, "tiny", replicas=2)
    system = cluster.kubectl.in_namespace("paddock-system")

    models.apply(inference_service("tiny", cluster.model_uri, replicas=2, model={"maxModelLen": 384}))
    until(
        lambda: condition(models.get("infsvc", "tiny"), "Progressing")["status"] == "True",
        seconds=30,
        what="the rollout to begin",
    )
    system.run("delete", "pods", "-l", "app.kubernetes.io/component=operator", "--grace-period=0", "--force")

    available(models, "tiny", replicas=2)
    limits = {json.dumps(pod["spec"]["containers"][0]["args"]) for pod in engine_pods(models, "tiny")}
    assert len(limits) == 1
    assert "384" in limits.pop()
    assert "Paris" in ask(client, service_url(models, "tiny"), QUESTION, model="tiny")["text"]


@pytest.mark.parametrize("source", ["oci", "pvc"])
def test_a_model_is_served_from_each_kind_of_source(
    cluster: Cluster, models: Kubectl, client: Kubectl, source: str, model_claim: str
) -> None:
    uri = {"oci": f"oci://{cluster.model_image}", "pvc": f"pvc://{model_claim}"}[source]
    models.apply(inference_service("tiny", uri))

    available(models, "tiny", replicas=1)

    assert "Paris" in ask(client, service_url(models, "tiny"), QUESTION, model="tiny")["text"]


def test_a_model_is_served_from_a_folder_of_the_node(
    cluster: Cluster, lenient_models: Kubectl, client: Kubectl
) -> None:
    lenient_models.apply(inference_service("tiny", cluster.host_uri))

    available(lenient_models, "tiny", replicas=1)

    assert "Paris" in ask(client, service_url(lenient_models, "tiny"), QUESTION, model="tiny")["text"]


def test_an_api_key_from_a_secret_guards_the_service(
    cluster: Cluster, models: Kubectl, client: Kubectl
) -> None:
    models.run("create", "secret", "generic", "keys", "--from-literal=key=sesame")
    models.apply(
        inference_service(
            "tiny", cluster.model_uri, frontend={"apiKeySecretRef": {"name": "keys", "key": "key"}}
        )
    )
    available(models, "tiny", replicas=1)

    refused = ask(client, service_url(models, "tiny"), QUESTION, model="tiny", api_key="wrong")
    answered = ask(client, service_url(models, "tiny"), QUESTION, model="tiny", api_key="sesame")

    assert refused["status"] == 401
    assert "Paris" in answered["text"]
    [pod] = engine_pods(models, "tiny")
    assert "sesame" not in json.dumps(pod)


def test_events_tell_what_changed(cluster: Cluster, models: Kubectl) -> None:
    models.apply(inference_service("tiny", cluster.model_uri))
    available(models, "tiny", replicas=1)

    def reasons() -> set[str]:
        found = {
            e["reason"]
            for e in models.list("events.events.k8s.io")
            if e["regarding"]["kind"] == "InferenceService"
        }
        if not found:
            raise NotYet("no event about the InferenceService")
        return found

    assert until(reasons, seconds=20, what="an event about the InferenceService")
