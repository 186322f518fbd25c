"""What the API server refuses at apply: the schema and its rules, with the field in the message. No webhook is involved."""

from typing import Any

import pytest
import yaml
from installed import Cluster
from kubectl import Kubectl
from manifests import inference_service

URI = "file:///models/tiny"

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "memory share above one": ({"cache": {"gpuMemoryUtilization": 1.4}}, "spec.cache.gpuMemoryUtilization"),
    "memory share of zero": ({"cache": {"gpuMemoryUtilization": 0}}, "spec.cache.gpuMemoryUtilization"),
    "block size outside the list": ({"cache": {"blockSize": 7}}, "spec.cache.blockSize"),
    "block count of zero": ({"cache": {"numGpuBlocksOverride": 0}}, "spec.cache.numGpuBlocksOverride"),
    "unknown dtype": ({"model": {"dtype": "int3"}}, "spec.model.dtype"),
    "context as words": ({"model": {"maxModelLen": "long"}}, "spec.model.maxModelLen"),
    "context of zero": ({"model": {"maxModelLen": 0}}, "spec.model.maxModelLen"),
    "misspelt field": ({"model": {"maxModelLength": 1024}}, "spec.model.maxModelLength"),
    "unknown group": ({"gpu": {"count": 1}}, "spec.gpu"),
    "model without a scheme": ({"model": {"uri": "Qwen/Qwen3-0.6B"}}, "spec.model.uri"),
    "unknown scheme": ({"model": {"uri": "ftp://host/model"}}, "spec.model.uri"),
    "negative replicas": ({"replicas": -1}, "spec.replicas"),
    "replicas as text": ({"replicas": "two"}, "spec.replicas"),
    "port above the range": ({"frontend": {"port": 70000}}, "spec.frontend.port"),
    "origins as a string": ({"frontend": {"allowedOrigins": "*"}}, "spec.frontend.allowedOrigins"),
    "key in the clear": ({"frontend": {"apiKey": ["sesame"]}}, "spec.frontend.apiKey"),
    "secret reference without a key": (
        {"frontend": {"apiKeySecretRef": {"name": "keys"}}},
        "spec.frontend.apiKeySecretRef.key",
    ),
    "no running request allowed": ({"scheduler": {"maxNumSeqs": 0}}, "spec.scheduler.maxNumSeqs"),
    "budget below the number of requests": (
        {"scheduler": {"maxNumSeqs": 64, "maxNumBatchedTokens": 32}},
        "maxNumBatchedTokens",
    ),
    "unknown policy": ({"scheduler": {"schedulingPolicy": "lottery"}}, "spec.scheduler.schedulingPolicy"),
    "pods that do not divide the ranks": (
        {"nodes": 2, "parallel": {"tensorParallelSize": 3}},
        "nodes must divide parallel.tensorParallelSize",
    ),
    "pods that do not divide the engines": (
        {"nodes": 2, "parallel": {"dataParallelSize": 3}},
        "nodes must divide parallel.dataParallelSize",
    ),
    "engines of a pod that do not divide all": (
        {"parallel": {"dataParallelSize": 3, "dataParallelSizeLocal": 2}},
        "dataParallelSizeLocal must divide dataParallelSize",
    ),
    "an API in each pod for one engine": (
        {"parallel": {"dataParallelSizeLocal": 1, "dataParallelHybridLb": True}},
        "dataParallelHybridLb needs dataParallelSize above 1",
    ),
    "a replica that may sleep while others need its experts": (
        {
            "parallel": {"dataParallelSize": 2, "enableExpertParallel": True},
            "model": {"enableSleepMode": True},
        },
        "enableSleepMode does not go with enableExpertParallel over several replicas",
    ),
    "weights elsewhere while others need the experts": (
        {"parallel": {"dataParallelSize": 2, "enableExpertParallel": True}, "cache": {"cpuOffloadGb": 1}},
        "cpuOffloadGb does not go with enableExpertParallel over several replicas",
    ),
    "client certificates that no probe has": ({"frontend": {"sslCertReqs": 2}}, "the kubelet probes"),
    "fewer replicas at most than at least": (
        {
            "autoscaling": {
                "minReplicas": 3,
                "maxReplicas": 2,
                "metrics": [{"type": "KVCacheUsage", "target": "0.8"}],
            }
        },
        "minReplicas must be at most maxReplicas",
    ),
    "a target of nothing": (
        {"autoscaling": {"maxReplicas": 2, "metrics": [{"type": "RequestsWaiting", "target": 0}]}},
        "target must be above 0",
    ),
    "an adapter's metric without its name": (
        {"autoscaling": {"maxReplicas": 2, "metrics": [{"type": "Pods", "target": 4}]}},
        "name is needed with type Pods or External",
    ),
    "a claim from two sources": (
        {
            "template": {
                "resourceClaims": [{"name": "a", "resourceClaimName": "b", "resourceClaimTemplateName": "c"}]
            }
        },
        "exactly one of resourceClaimName",
    ),
    "argument not served yet": ({"cache": {"kvSharingFastPrefill": True}}, "kvSharingFastPrefill"),
    "an adapter's archive without its checksum": (
        {"lora": {"adapters": [{"name": "a", "uri": "https://files.example.com/adapter.tar.gz"}]}},
        "sha256 is needed for an https:// archive",
    ),
    "a volume of the operator's name": (
        {"template": {"volumes": [{"name": "paddock-adapters", "emptyDir": {}}]}},
        "are the operator's own",
    ),
    "unknown load format": ({"load": {"loadFormat": "zip"}}, "spec.load.loadFormat"),
    "drain timeout without a unit": ({"rollout": {"drainTimeout": "soon"}}, "spec.rollout.drainTimeout"),
    "seed as text": ({"model": {"seed": "lucky"}}, "spec.model.seed"),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_a_wrong_manifest_is_refused_with_the_field_named(cluster: Cluster, fault: str) -> None:
    spec, field = REFUSED[fault]
    manifest = inference_service("wrong", URI, **spec)

    done = cluster.kubectl.try_run("apply", "--dry-run=server", "-f", "-", stdin=yaml.safe_dump(manifest))

    assert done.returncode != 0, done.stdout
    assert field in done.stderr, done.stderr


def test_a_name_too_long_for_its_pods_is_refused(cluster: Cluster) -> None:
    manifest = inference_service("n" * 60, URI)

    done = cluster.kubectl.try_run("apply", "--dry-run=server", "-f", "-", stdin=yaml.safe_dump(manifest))

    assert done.returncode != 0
    assert "name" in done.stderr


def test_defaults_appear_in_the_stored_object(cluster: Cluster, models: Kubectl) -> None:
    minimal = inference_service("minimal", URI)
    minimal["spec"] = {"model": {"uri": URI}, "replicas": 0}

    models.apply(minimal)

    spec = models.get("infsvc", "minimal")["spec"]
    assert spec["model"]["dtype"] == "auto"
    assert spec["rollout"]["drainTimeout"] == "5m"


def test_kubectl_explain_describes_an_argument(cluster: Cluster) -> None:
    text = cluster.kubectl.run("explain", "infsvc.spec.cache.gpuMemoryUtilization")

    assert "FIELD: gpuMemoryUtilization <number>" in text
    assert "memory" in text
