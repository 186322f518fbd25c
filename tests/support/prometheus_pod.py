"""A Prometheus inside the cluster that finds the engines as docs/runbook.md has users write it."""

import yaml
from installed import Cluster
from kubectl import Manifest
from local import load_program
from local_cluster.go_programs import MONITORING
from manifests import namespace
from monitoring import runbook_jobs

NAMESPACE = "monitoring"
URL = f"http://prometheus.{NAMESPACE}:9090"


def install_prometheus(cluster: Cluster) -> None:
    """At `URL`, ready. It scrapes each second."""
    image = load_program(cluster, MONITORING, "prometheus")
    kubectl = cluster.kubectl.in_namespace(NAMESPACE)
    # Others who come here, as prometheus-adapter, do not meet the restricted standard.
    kubectl.apply(
        namespace(NAMESPACE, restricted=False), *_rights(), _configuration(), _deployment(image), _service()
    )
    kubectl.run("rollout", "status", "deployment/prometheus", "--timeout=120s", timeout=140)


def remove_prometheus(cluster: Cluster) -> None:
    cluster.kubectl.run("delete", "namespace", NAMESPACE, timeout=180)
    cluster.kubectl.run("delete", "clusterrole,clusterrolebinding", "prometheus")


def _named(kind: str, api: str = "v1", **fields: object) -> Manifest:
    return {"apiVersion": api, "kind": kind, "metadata": {"name": "prometheus"}, **fields}


def _rights() -> list[Manifest]:
    """What finding pods takes."""
    rbac = "rbac.authorization.k8s.io"
    rule = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]}
    account = {"kind": "ServiceAccount", "name": "prometheus", "namespace": NAMESPACE}
    role = {"apiGroup": rbac, "kind": "ClusterRole", "name": "prometheus"}
    return [
        _named("ServiceAccount"),
        _named("ClusterRole", f"{rbac}/v1", rules=[rule]),
        _named("ClusterRoleBinding", f"{rbac}/v1", roleRef=role, subjects=[account]),
    ]


def _configuration() -> Manifest:
    document = {"global": {"scrape_interval": "1s"}, "scrape_configs": runbook_jobs()}
    return _named("ConfigMap", data={"prometheus.yml": yaml.safe_dump(document)})


def _deployment(image: str) -> Manifest:
    labels = {"app": "prometheus"}
    container = {
        "name": "prometheus",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "args": ["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/data"],
        "env": [{"name": "GOMAXPROCS", "value": "1"}],
        "readinessProbe": {"httpGet": {"path": "/-/ready", "port": 9090}, "periodSeconds": 1},
        "volumeMounts": [
            {"name": "configuration", "mountPath": "/etc/prometheus"},
            {"name": "data", "mountPath": "/data"},
        ],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    pod = {
        "serviceAccountName": "prometheus",
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "fsGroup": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": [
            {"name": "configuration", "configMap": {"name": "prometheus"}},
            {"name": "data", "emptyDir": {}},
        ],
    }
    template = {"metadata": {"labels": labels}, "spec": pod}
    return _named("Deployment", "apps/v1", spec={"selector": {"matchLabels": labels}, "template": template})


def _service() -> Manifest:
    return _named("Service", spec={"selector": {"app": "prometheus"}, "ports": [{"port": 9090}]})
