"""Adapters of running pods: fetched and loaded, said where, taken away, and there again after a restart."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from asking import ask
from hub_pod import HubPod
from installed import MODEL, Cluster, available, engine_pods, said, service_url
from kubectl import Kubectl, Manifest
from lora_adapters import save_adapter
from manifests import inference_service
from transformers import AutoModelForCausalLM
from waiting import NotYet, until

QUESTION = "What is the capital of France?"


@pytest.fixture(scope="module")
def hub(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubPod]:
    folder = tmp_path_factory.mktemp("adapters")
    model = AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.float32)
    adapters = [save_adapter(model, folder / name, ("q_proj", "v_proj", "down_proj"), rank=2, seed=seed)
                for seed, name in enumerate(("sql", "poems"))]  # fmt: skip
    served = HubPod(cluster, "adapter-hub", adapters)
    served.start()
    yield served
    served.stop()


def service(cluster: Cluster, hub: HubPod, *adapters: str, **spec: Any) -> Manifest:
    listed = [{"name": name, "uri": f"hf://team/{name}"} for name in adapters]
    lora = {"enableLora": True, "maxLoras": 2, "source": {"hubEndpoint": hub.url}, "adapters": listed}
    return inference_service("tiny", cluster.model_uri, lora=lora, **spec)


def identities(models: Kubectl) -> dict[str, list[Any]]:
    """Uid and restarts of each pod."""
    return {
        pod["metadata"]["name"]: [pod["metadata"]["uid"], *(each["restartCount"] for each in statuses(pod))]
        for pod in engine_pods(models, "tiny")
    }


def statuses(pod: Manifest) -> list[Manifest]:
    found = pod["status"]
    return [*found.get("initContainerStatuses", []), *found["containerStatuses"]]


def answer(client: Kubectl, models: Kubectl, model: str) -> Any:
    return ask(client, service_url(models, "tiny"), QUESTION, model=model)


@pytest.mark.long
def test_adapters_come_and_go_without_a_new_pod(
    cluster: Cluster, models: Kubectl, client: Kubectl, hub: HubPod
) -> None:
    models.apply(service(cluster, hub, replicas=2))
    available(models, "tiny", replicas=2)
    before = identities(models)
    base = answer(client, models, "tiny")["text"]

    models.apply(service(cluster, hub, "sql", "poems", replicas=2))
    said(models, "tiny", "AdaptersReady", "True", "poems, sql loaded on tiny-0-0, tiny-1-0")
    texts = {name: answer(client, models, name)["text"] for name in ("sql", "poems")}
    assert len({base, *texts.values()}) == 3, "each answers in its own way"

    models.apply(service(cluster, hub, "sql", "absent", replicas=2))
    said(models, "tiny", "AdaptersReady", "False", "AdapterFailed", "tiny-0-0: absent:", "team/absent")
    said(models, "tiny", "Degraded", "True", "AdapterFailed")
    until(lambda: "status" in answer(client, models, "poems"), seconds=30, what="poems to be gone")
    assert answer(client, models, "sql")["text"] == texts["sql"]

    models.apply(service(cluster, hub, "sql", replicas=2))
    said(models, "tiny", "AdaptersReady", "True", "sql loaded on")
    said(models, "tiny", "Degraded", "False")
    assert identities(models) == before, "no pod was replaced, no container started again"

    models.run("delete", "pod", "tiny-0-0", "tiny-1-0")

    def replaced() -> bool:
        now = identities(models)
        if set(now) == set(before) and not [name for name in now if now[name][0] == before[name][0]]:
            return True
        raise NotYet(str(now))

    until(replaced, seconds=90, what="new pods", every=0.5)
    available(models, "tiny", replicas=2)
    assert answer(client, models, "sql")["text"] == texts["sql"], "a pod that is ready has its adapters"
    said(models, "tiny", "AdaptersReady", "True", "sql loaded on tiny-0-0, tiny-1-0")
