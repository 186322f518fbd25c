"""A plain HorizontalPodAutoscaler follows the engines' own load on a bare cluster, up and down again."""

import json

import pytest
from followed_load import load, replicas
from installed import Cluster, available, service_url
from kubectl import Kubectl, Manifest, condition
from manifests import inference_service
from waiting import NotYet, until

METRIC = "/apis/custom.metrics.k8s.io/v1beta2/namespaces/{}/inferenceservices.paddock.dev/tiny/{}"


@pytest.mark.long
def test_replicas_follow_the_load_up_and_down(cluster: Cluster, models: Kubectl, client: Kubectl) -> None:
    scaling = {
        "maxReplicas": 3,
        "metrics": [{"type": "RequestsRunning", "target": 2}],
        "behavior": {"scaleDown": {"stabilizationWindowSeconds": 5}},
    }
    manifest = inference_service("tiny", cluster.model_uri, autoscaling=scaling)
    del manifest["spec"]["replicas"]
    models.apply(manifest)
    available(models, "tiny", replicas=1)

    with load(client, service_url(models, "tiny"), seconds=150):
        replicas(models, 3, seconds=120)
    replicas(models, 1, seconds=120)

    models.apply(manifest)
    assert condition(models.get("infsvc", "tiny"), "Available")["status"] == "True"


def test_every_metric_is_served_and_only_by_rbac(cluster: Cluster, models: Kubectl) -> None:
    models.apply(inference_service("tiny", cluster.model_uri))
    available(models, "tiny", replicas=1)

    def value(metric: str) -> str:
        done = models.try_run("get", "--raw", METRIC.format(models.namespace, metric))
        if done.returncode != 0:
            raise NotYet(done.stderr)
        [item] = json.loads(done.stdout)["items"]
        return str(item["value"])

    for metric in (
        "requests_waiting",
        "requests_running",
        "kv_cache_usage",
        "tokens_per_second",
        "time_to_first_token",
    ):
        assert until(lambda metric=metric: value(metric), seconds=30, what=metric, every=1) == "0m"
    nobody = models.try_run(
        "get", "--raw", METRIC.format(models.namespace, "requests_waiting"), "--as=nobody"
    )
    assert "forbidden" in nobody.stderr.lower()


def test_metrics_of_other_adapters_reach_the_autoscaler(cluster: Cluster, models: Kubectl) -> None:
    scaling = {
        "maxReplicas": 3,
        "metrics": [
            {"type": "Pods", "name": "vllm_num_requests_waiting", "target": "0.5"},
            {
                "type": "External",
                "name": "queue:length",
                "selector": {"matchLabels": {"queue": "chat"}},
                "target": 100,
            },
        ],
        "behavior": {"scaleUp": {"policies": [{"type": "Pods", "value": 1, "periodSeconds": 30}]}},
    }
    models.apply(inference_service("tiny", cluster.model_uri, replicas=0, autoscaling=scaling))

    def written() -> Manifest:
        found = models.list("hpa")
        if not found:
            raise NotYet("no autoscaler")
        return found[0]

    spec = until(written, seconds=30, what="the autoscaler")["spec"]
    assert {metric["type"] for metric in spec["metrics"]} == {"Pods", "External"}
    [external] = (metric["external"] for metric in spec["metrics"] if "external" in metric)
    assert external["metric"]["selector"] == {"matchLabels": {"queue": "chat"}}
    assert spec["behavior"]["scaleUp"]["policies"][0]["periodSeconds"] == 30
