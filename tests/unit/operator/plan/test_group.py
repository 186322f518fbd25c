"""The rendered objects, compared with YAML files that a reviewer can read; `PADDOCK_UPDATE_GOLDEN=1` writes them anew."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from paddock.operator.plan.actions import Apply, plan
from paddock.operator.plan.blueprint import Blueprint
from paddock.operator.plan.revision import Rendering
from paddock.operator.snapshot import Snapshot


class InFull(yaml.SafeDumper):
    """Writes shared parts each time, since anchors would be noise to a reader."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


GOLDEN = Path(__file__).parent / "golden"
FULL = {
    "model": {"uri": "pvc://weights/qwen3", "maxModelLen": "4k", "servedModelName": ["qwen3-tiny"]},
    "cache": {"gpuMemoryUtilization": 0.5},
    "frontend": {"apiKeySecretRef": {"name": "qwen3-keys", "key": "key"}},
    "replicas": 1,
    "rollout": {"drainTimeout": "1m30s"},
    "template": {
        "image": "localhost/other:2",
        "imagePullPolicy": "Never",
        "resources": {"limits": {"nvidia.com/gpu": 1}, "requests": {"memory": "2Gi"}},
        "nodeSelector": {"gpu": "yes"},
        "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
        "topologySpreadConstraints": [
            {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway"}
        ],
        "env": [{"name": "HF_HUB_OFFLINE", "value": "1"}],
        "volumes": [{"name": "templates", "configMap": {"name": "templates"}}],
        "volumeMounts": [{"name": "templates", "mountPath": "/templates", "readOnly": True}],
        "labels": {"team": "search"},
        "annotations": {"note": "hello"},
        "startupTimeout": "1h",
        "serviceAccountName": "qwen3",
        "priorityClassName": "serving",
    },
}
TLS = {
    "frontend": {"sslCertfile": "/tls/tls.crt", "sslKeyfile": "/tls/tls.key", "enableSslRefresh": True},
    "replicas": 1,
    "template": {
        "volumes": [{"name": "tls", "secret": {"secretName": "qwen3-tls"}}],
        "volumeMounts": [{"name": "tls", "mountPath": "/tls", "readOnly": True}],
    },
}
CASES = {
    "minimal": {"replicas": 1},
    "full": FULL,
    "tls": TLS,
    "devices": {
        "replicas": 1,
        "clients": [{"namespaceSelector": {}, "podSelector": {"matchLabels": {"app": "shop"}}}],
        "template": {
            "accelerator": "nvidia.com/gpu",
            "sharedMemory": "8Gi",
            "runtimeClassName": "nvidia",
            "nodeSelector": {"nvidia.com/gpu.product": "H200"},
            "resources": {"limits": {"rdma/hca": 1, "memory": "64Gi"}},
        },
    },
    "nodes": {
        "replicas": 1,
        "parallel": {"tensorParallelSize": 4, "pipelineParallelSize": 2},
        "template": {"resources": {"limits": {"nvidia.com/gpu": 4}}},
    },
    "one_rack": {
        "replicas": 1,
        "nodes": 2,
        "parallel": {"pipelineParallelSize": 2},
        "template": {
            "groupTopologyKey": "example.com/rack",
            "affinity": {"nodeAffinity": {}, "podAffinity": {}},
        },
    },
    "engines": {
        "replicas": 1,
        "parallel": {"dataParallelSize": 4, "tensorParallelSize": 2},
        "template": {"resources": {"limits": {"nvidia.com/gpu": 4}}},
    },
    "engines_that_answer": {
        "replicas": 1,
        "parallel": {"dataParallelSize": 4, "dataParallelSizeLocal": 2, "dataParallelHybridLb": True},
    },
    "engines_that_share": {
        "replicas": 1,
        "parallel": {
            "dataParallelSize": 4,
            "dataParallelSizeLocal": 2,
            "dataParallelHybridLb": True,
            "enableExpertParallel": True,
        },
    },
    "autoscaled": {
        "replicas": 1,
        "autoscaling": {
            "maxReplicas": 8,
            "metrics": [
                {"type": "RequestsWaiting", "target": 4},
                {"type": "KVCacheUsage", "target": "0.8"},
                {"type": "TimeToFirstToken", "target": "500m"},
                {"type": "Pods", "name": "vllm_num_requests_waiting", "target": 4},
                {
                    "type": "External",
                    "name": "queue_length",
                    "selector": {"matchLabels": {"queue": "chat"}},
                    "target": 100,
                },
            ],
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": 60}},
        },
    },
    "image_volume": {"model": {"uri": "oci://localhost/models/qwen3:1?path=/weights"}, "replicas": 1},
}


@pytest.mark.parametrize("case", CASES)
def test_objects_are_those_of_the_golden_file(
    case: str, make_blueprint: Callable[..., Blueprint], rendering: Rendering
) -> None:
    blueprint = make_blueprint(**CASES[case])
    actions = plan(blueprint, Snapshot(blueprint.service), rendering)
    manifests: list[Any] = [action.manifest for action in actions if isinstance(action, Apply)]
    path = GOLDEN / f"{case}.yaml"
    if os.environ.get("PADDOCK_UPDATE_GOLDEN"):
        path.write_text(yaml.dump_all(manifests, Dumper=InFull, sort_keys=False, width=120))
    assert manifests == list(yaml.safe_load_all(path.read_text())), f"{path} differs from what is rendered"


def test_groups_of_one_revision_differ_in_name_and_group_label_only(
    make_blueprint: Callable[..., Blueprint], rendering: Rendering
) -> None:
    blueprint = make_blueprint(replicas=2)
    actions = plan(blueprint, Snapshot(blueprint.service), rendering)
    first, second = (yaml.safe_dump(action.manifest) for action in actions[-2:] if isinstance(action, Apply))
    assert second == first.replace("paddock.dev/group: '0'", "paddock.dev/group: '1'").replace(
        "qwen3-0", "qwen3-1"
    )


def test_pods_meet_the_restricted_standard(
    make_blueprint: Callable[..., Blueprint], rendering: Rendering
) -> None:
    blueprint = make_blueprint(**FULL)
    action = plan(blueprint, Snapshot(blueprint.service), rendering)[-1]
    assert isinstance(action, Apply)
    pod = action.manifest["spec"]["template"]["spec"]
    container = pod["containers"][0]["securityContext"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["allowPrivilegeEscalation"] is False
    assert container["capabilities"] == {"drop": ["ALL"]}
    assert container["readOnlyRootFilesystem"]
    assert not any("hostPath" in volume for volume in pod["volumes"])


def test_a_pod_is_killed_only_after_its_drain_and_the_sleep_before_it(
    make_blueprint: Callable[..., Blueprint], rendering: Rendering
) -> None:
    blueprint = make_blueprint(rollout={"drainTimeout": "90s"})
    action = plan(blueprint, Snapshot(blueprint.service), rendering)[-1]
    assert isinstance(action, Apply)
    pod = action.manifest["spec"]["template"]["spec"]
    environment = {item["name"]: item.get("value") for item in pod["containers"][0]["env"]}
    assert environment["PADDOCK_DRAIN_TIMEOUT_SECONDS"] == "90"
    assert pod["terminationGracePeriodSeconds"] == 90 + 3 + 15
