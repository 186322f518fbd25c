"""KEDA's ScaledObject instead of our HorizontalPodAutoscaler, with KEDA's own definition; KEDA itself is played."""

from collections.abc import Iterator

import pytest
import yaml
from helm import install_chart
from installed import ROOT, Cluster, said
from kubectl import Kubectl
from local import module_folder
from manifests import inference_service
from waiting import until

pytestmark = pytest.mark.long

MODULE = "github.com/kedacore/keda/v2@v2.21.0"
WANTED = {"maxReplicas": 2, "metrics": [{"type": "RequestsWaiting", "target": 4}]}
EXAMPLE = yaml.safe_load((ROOT / "examples/autoscaled-by-keda.yaml").read_text(encoding="utf-8"))
BY_KEDA = {"provider": "keda", "prometheusAddress": "http://prometheus.monitoring:9090"}


@pytest.fixture
def keda(cluster: Cluster) -> Iterator[None]:
    """Its ScaledObject is known, and the operator may write it."""
    definition = module_folder(MODULE) / "config/crd/bases/keda.sh_scaledobjects.yaml"
    cluster.kubectl.run("apply", "--server-side", "-f", str(definition))
    install_chart(cluster, "--set", "keda.enabled=true")
    yield
    cluster.kubectl.run("delete", "-f", str(definition))
    install_chart(cluster)


def scalers(models: Kubectl) -> set[str]:
    return {
        f"{each['kind']}/{each['metadata']['name']}"
        for each in models.list("horizontalpodautoscalers,scaledobjects.keda.sh", "paddock.dev/service=tiny")
    }


def kedas_own(models: Kubectl) -> dict[str, object]:
    """What KEDA makes of our object: it copies our labels."""
    made = models.get("scaledobject", "tiny")
    owner = {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "name": "tiny",
        "uid": made["metadata"]["uid"],
    }
    target = {"apiVersion": "paddock.dev/v1alpha1", "kind": "InferenceService", "name": "tiny"}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {
            "name": "keda-hpa-tiny", "labels": made["metadata"]["labels"], "ownerReferences": [{**owner, "controller": True}],
        },
        "spec": {"scaleTargetRef": target, "maxReplicas": 2},
    }  # fmt: skip


def test_there_is_one_autoscaler_whoever_provides_it(keda: None, cluster: Cluster, models: Kubectl) -> None:
    def becomes(wanted: dict[str, object], *expected: str) -> None:
        models.apply(inference_service("tiny", cluster.model_uri, autoscaling=wanted))
        until(lambda: scalers(models) == set(expected), seconds=60, what=f"{expected} to be all")

    becomes(WANTED, "HorizontalPodAutoscaler/tiny")
    becomes(EXAMPLE["spec"]["autoscaling"], "ScaledObject/tiny")
    models.apply(kedas_own(models))
    becomes(WANTED | {"provider": "prometheus-adapter"}, "HorizontalPodAutoscaler/tiny")


def test_a_cluster_without_keda_is_said(cluster: Cluster, models: Kubectl) -> None:
    models.apply(inference_service("tiny", cluster.model_uri, autoscaling=WANTED | BY_KEDA))

    said(models, "tiny", "Degraded", "True", "KedaMissing", "keda.enabled=true")
