"""A replica of several pods answers as one pod does, and a lost pod costs its own group only."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from asking import ask
from installed import MODEL, Cluster, engine_pods, said, service_url
from kubectl import Kubectl, Manifest, condition
from manifests import inference_service, namespace
from waiting import NotYet, until

QUESTION = "What is the capital of France?"
CACHE_BYTES = 64 * 1024 * 1024
_FINISHED = """
import collections, json, re, urllib.request
page = urllib.request.urlopen("{url}/metrics", timeout=10).read().decode()
finished = collections.Counter()
for engine, count in re.findall('^vllm:request_success_total[{{].*engine="([0-9]+)".* ([0-9.]+)$', page, re.M):
    finished[engine] += float(count)
print(json.dumps(finished))
"""


def reported_plan(models: Kubectl, name: str) -> Manifest:
    """Wait until a replica has told what it holds."""

    def reported() -> Manifest:
        plan: Manifest = models.get("infsvc", name)["status"]["plan"]
        if plan["basis"].startswith("reported by pod"):
            return plan
        raise NotYet(json.dumps(plan))

    return until(reported, seconds=60, what=f"the report of {name}", every=0.5)


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


def starts(models: Kubectl, name: str) -> dict[str, str]:
    """By pod, what tells one start of its container from the next."""
    return {
        pod["metadata"]["name"]: json.dumps(each["state"])
        for pod in engine_pods(models, name)
        for each in pod["status"].get("containerStatuses") or ()
    }


def have_restarted(models: Kubectl, name: str, before: dict[str, str]) -> bool:
    now = starts(models, name)
    return all(now.get(pod) not in (None, start) for pod, start in before.items())


@pytest.fixture
def model_of_experts() -> Iterator[Path]:
    """A random Mixtral with the tiny model's tokenizer, beside it so that the chart allows it."""
    from model_families import BASE, peaked_model  # loads torch
    from transformers import MixtralConfig

    folder = MODEL.parent / "experts"
    shutil.copytree(MODEL, folder, dirs_exist_ok=True)
    config = json.loads((MODEL / "config.json").read_text())
    sizes = {name: config[name] for name in ("vocab_size", "max_position_embeddings", "eos_token_id")}
    made = MixtralConfig(**BASE | sizes, num_local_experts=5, num_experts_per_tok=2)
    peaked_model(made, seed=7).save_pretrained(folder)
    (folder / "model.safetensors").chmod(0o644)  # pods are another user
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def answer_of_one_pod(cluster: Cluster, client: Kubectl) -> Iterator[str]:
    """What a replica of one pod says to the question."""
    cluster.kubectl.apply(namespace("t-one-pod"))
    models = cluster.kubectl.in_namespace("t-one-pod")
    models.apply(inference_service("one", cluster.model_uri))
    whole(models, "one", pods=1)
    yield ask(client, service_url(models, "one"), QUESTION, model="one")["text"]
    cluster.kubectl.run("delete", "namespace", "t-one-pod", "--wait=false")


@pytest.mark.parametrize(
    "sizes", [{"tensorParallelSize": 2}, {"pipelineParallelSize": 2}], ids=["tensor", "pipeline"]
)
def test_two_pods_answer_as_one_does(
    cluster: Cluster, models: Kubectl, client: Kubectl, answer_of_one_pod: str, sizes: dict[str, Any]
) -> None:
    one_node = {"groupTopologyKey": "kubernetes.io/hostname"}
    models.apply(inference_service("two", cluster.model_uri, nodes=2, parallel=sizes, template=one_node))
    whole(models, "two", pods=2)

    answered = ask(client, service_url(models, "two"), QUESTION, model="two")

    assert answered["text"] == answer_of_one_pod
    assert len({pod["spec"]["nodeName"] for pod in engine_pods(models, "two")}) == 1
    assert (
        models.run("get", "secret", "two-pods", "-o", "jsonpath={.metadata.ownerReferences[0].name}") == "two"
    )


def test_two_engines_in_two_pods_answer_behind_one_api_or_each_by_itself(
    cluster: Cluster, models: Kubectl, client: Kubectl, answer_of_one_pod: str
) -> None:
    engines = {"dataParallelSize": 2, "dataParallelSizeLocal": 1}
    models.apply(
        inference_service("led", cluster.model_uri, parallel=engines),
        inference_service("each", cluster.model_uri, parallel={**engines, "dataParallelHybridLb": True}),
    )
    whole(models, "led", pods=2)
    whole(models, "each", pods=2)

    own = [f"http://each-0-{rank}.each-pods.{models.namespace}.svc:8000" for rank in (0, 1)]
    # Of equals they take turns: two questions reach both engines.
    led = [ask(client, service_url(models, "led"), QUESTION, model="led")["text"] for _ in range(2)]
    each = [ask(client, url, QUESTION, model="each")["text"] for url in (*own, service_url(models, "each"))]

    assert {*led, *each} == {answer_of_one_pod}
    metrics = client.exec_python("client", _FINISHED.format(url=service_url(models, "led")))
    assert json.loads(metrics) == {"0": 1.0, "1": 1.0}
    for name in ("led", "each"):
        plan = reported_plan(models, name)
        assert (plan["podsPerReplica"], plan["gpusPerPod"]) == (2, 0)
        # Each of the two engines has the cache of the manifest.
        assert plan["kvTokensPerReplica"] == 2 * (CACHE_BYTES // plan["kvBytesPerToken"])
        assert plan["weightBytes"] > 1_000_000

    models.run("delete", "pod", "each-0-1", "--grace-period=0", "--force")
    assert ask(client, own[0], QUESTION, model="each")["text"] == answer_of_one_pod
    said(models, "each", "Available", "True", "ServingInPart", "1 of 2 pods can answer")


@pytest.mark.long
def test_pods_that_share_experts_and_answer_each_agree_with_one_and_restart_together(
    cluster: Cluster, lenient_models: Kubectl, client: Kubectl, model_of_experts: Path
) -> None:
    models, uri = lenient_models, f"file://{model_of_experts}"
    shared = {
        "dataParallelSize": 2,
        "dataParallelSizeLocal": 1,
        "dataParallelHybridLb": True,
        "enableExpertParallel": True,
    }
    models.apply(inference_service("alone", uri), inference_service("share", uri, parallel=shared))
    whole(models, "alone", pods=1)
    whole(models, "share", pods=2)

    def answer(url: str, name: str) -> str:
        return str(ask(client, url, QUESTION, model=name, max_tokens=16)["text"])

    expected = answer(service_url(models, "alone"), "alone")
    own = [f"http://share-0-{rank}.share-pods.{models.namespace}.svc:8000" for rank in (0, 1)]
    assert [answer(url, "share") for url in (*own, service_url(models, "share"))] == [expected] * 3

    before = starts(models, "share")
    models.run("delete", "pod", "share-0-1", "--grace-period=0", "--force")
    until(lambda: have_restarted(models, "share", before), seconds=120, what="both pods to start again")
    whole(models, "share", pods=2)
    assert [answer(url, "share") for url in own] == [expected] * 2


def test_a_model_that_no_device_can_hold_is_refused_with_the_arithmetic(
    cluster: Cluster, models: Kubectl
) -> None:
    config = {
        "architectures": ["LlamaForCausalLM"],
        "dtype": "bfloat16",
        "hidden_size": 8192,
        "intermediate_size": 28672,
        "num_attention_heads": 64,
        "num_hidden_layers": 80,
        "num_key_value_heads": 8,
        "vocab_size": 128256,
    }
    model = {"hfOverrides": json.dumps(config)}
    template = {"nodeSelector": {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"}}

    models.apply(inference_service("large", cluster.model_uri, model=model, template=template))

    said(models, "large", "Accepted", "False", "DoesNotFit", "141.1 GB", "at least 2 ranks are needed")
    assert engine_pods(models, "large") == []


def test_a_lost_pod_restarts_its_group_and_no_other(
    cluster: Cluster, models: Kubectl, client: Kubectl
) -> None:
    models.apply(
        inference_service("two", cluster.model_uri, nodes=2, replicas=2, parallel={"pipelineParallelSize": 2})
    )
    whole(models, "two", pods=4)

    before = starts(models, "two")
    models.run("delete", "pod", "two-0-1", "--grace-period=0", "--force")
    first = {name: before[name] for name in ("two-0-0", "two-0-1")}
    until(
        lambda: have_restarted(models, "two", first),
        seconds=120,
        what="both pods of the group to start again",
    )
    whole(models, "two", pods=4)
    after = starts(models, "two")
    assert {name: after[name] for name in ("two-1-0", "two-1-1")} == {
        name: before[name] for name in ("two-1-0", "two-1-1")
    }
    assert "Paris" in ask(client, service_url(models, "two"), QUESTION, model="two")["text"]
