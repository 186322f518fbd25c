"""The operator may do what it does, and nothing else: its roles against the audit log of a run that needs all of it."""

import pytest
from audit import AuditLog
from helm import SYSTEM_NAMESPACE, install_chart
from installed import Cluster, said
from kubectl import Kubectl, Manifest
from manifests import inference_service
from waiting import NotYet, until

OPERATOR = f"{SYSTEM_NAMESPACE}:paddock-operator"
Right = tuple[str, str, str]


def idle_service(name: str, uri: str, **spec: object) -> Manifest:
    template = {"nodeSelector": {"node": "none"}, **spec.pop("template", {})}  # type: ignore[dict-item]
    return inference_service(name, uri, template=template, **spec)


def granted(cluster: Cluster) -> set[Right]:
    """Group, resource and verb, as the chart's roles give them."""
    system = cluster.kubectl.in_namespace(SYSTEM_NAMESPACE)
    roles = (system.get("clusterrole", "paddock-operator"), system.get("role", "paddock-operator"))
    return {
        (group, resource, verb)
        for role in roles
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def used(log: AuditLog) -> set[Right]:
    """What was asked for and given. An apply that makes an object needs the right to create it as well."""
    asked = [each for each in log.of(OPERATOR) if each.code < 300 or each.code == 404]
    found = {(each.group, each.resource, each.verb) for each in asked}
    return found | {
        (each.group, each.resource, "create") for each in asked if each.verb == "patch" and each.code == 201
    }


def replica_count(models: Kubectl) -> int:
    return len(models.list("statefulsets", "paddock.dev/service=a"))


@pytest.mark.long
def test_every_right_of_the_operator_is_needed_and_none_is_missing(cluster: Cluster, models: Kubectl) -> None:
    log, uri = AuditLog(cluster), cluster.model_uri
    system = cluster.kubectl.in_namespace(SYSTEM_NAMESPACE)
    # The Lease too is made in this run, and everything is listed and watched from the start.
    install_chart(cluster, "--set", "operator.replicas=0")
    system.run("delete", "lease", "paddock-operator", "--ignore-not-found")
    install_chart(cluster)
    scaled = {"maxReplicas": 3, "metrics": [{"type": "RequestsWaiting", "target": 4}]}
    models.apply(
        idle_service("a", uri, replicas=2, autoscaling=scaled),
        idle_service("group", uri, nodes=2, parallel={"pipelineParallelSize": 2}),
        idle_service("adapted", uri, lora={"enableLora": True, "adapters": []}),
        idle_service("claim", "pvc://none"),
    )
    for name in ("a", "group", "adapted"):
        said(models, name, "Degraded", "True", "Unschedulable")
    said(models, "claim", "Degraded", "True", "VolumeClaimMissing")
    models.apply(
        idle_service(
            "a", uri, replicas=1, model={"maxModelLen": 512}, template={"serviceAccountName": "own"}
        ),
        idle_service(
            "adapted", uri, lora={"enableLora": True, "adapters": [{"name": "sql", "uri": "hf://team/sql"}]}
        ),
    )

    for replicas in (2, 1, 2, 1):  # the same news twice become one Event that counts
        models.run("scale", "infsvc/a", f"--replicas={replicas}")
        until(
            lambda wanted=replicas: replica_count(models) == wanted, seconds=60, what=f"{replicas} replicas"
        )

    try:
        install_chart(cluster, "--set", "networkPolicies.enabled=false")

        def none_is_unused() -> bool:
            if unused := granted(cluster) - used(log):
                raise NotYet(f"unused: {sorted(unused)}")
            return True

        until(none_is_unused, seconds=90, what="every right to be used", every=2)
    finally:
        install_chart(cluster)
    # Elsewhere namespaces of earlier tests may be going, which take nothing new.
    here = (models.namespace, SYSTEM_NAMESPACE, "")
    refused = [each for each in log.of(OPERATOR) if each.code == 403 and each.namespace in here]
    print(f"{len(granted(cluster))} rights, each used")
    assert refused == []
