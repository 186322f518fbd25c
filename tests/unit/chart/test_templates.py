"""The chart renders what the golden files show; `PADDOCK_UPDATE_GOLDEN=1` writes them anew."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from paddock.operator import client
from paddock.operator.custom_metrics.series import METRICS

GOLDEN = Path(__file__).with_name("golden")
CERTIFICATE = re.compile(r"LS0tLS1CRUdJTi[A-Za-z0-9+/=]+")
Render = Callable[..., str]


def documents(rendered: str, *, hooks: bool = False) -> list[dict[str, Any]]:
    """The rendered objects, of `helm test` alone with `hooks`, else without those."""
    return [
        item
        for item in yaml.safe_load_all(rendered)
        if item and ("helm.sh/hook" in item["metadata"].get("annotations", {})) == hooks
    ]


def objects(rendered: str) -> dict[str, dict[str, Any]]:
    """The installed objects by kind."""
    return {item["kind"]: item for item in documents(rendered)}


@pytest.fixture(scope="module")
def defaults(render: Render) -> dict[str, dict[str, Any]]:
    """What the chart renders without any value set."""
    return objects(render("--set", "crds.install=false"))


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("default", ["--set", "crds.install=false"]),
        ("all-options", ["--values", str(GOLDEN / "all-options.values.yaml")]),
    ],
)
def test_rendered_manifests_equal_the_golden_file(render: Render, name: str, arguments: list[str]) -> None:
    golden = GOLDEN / f"{name}.yaml"
    rendered = CERTIFICATE.sub("(made at each installation)", render(*arguments))
    if os.environ.get("PADDOCK_UPDATE_GOLDEN"):
        golden.write_text(rendered, encoding="utf-8")

    assert rendered == golden.read_text(encoding="utf-8"), "set PADDOCK_UPDATE_GOLDEN=1 to accept the change"


@pytest.mark.parametrize("hooks", [False, True], ids=["operator", "check"])
def test_each_pod_meets_the_restricted_standard(render: Render, hooks: bool) -> None:
    made = {item["kind"]: item for item in documents(render("--set", "crds.install=false"), hooks=hooks)}
    pod = made["Pod"]["spec"] if hooks else made["Deployment"]["spec"]["template"]["spec"]
    container = pod["containers"][0]["securityContext"]

    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["allowPrivilegeEscalation"] is False
    assert container["capabilities"] == {"drop": ["ALL"]}
    assert container["readOnlyRootFilesystem"] is True
    assert not any("hostPath" in volume for volume in pod.get("volumes", []))


def images(rendered: str) -> list[str]:
    """Of the operator, of the server, and of the check."""
    [deployment] = [item for item in documents(rendered) if item["kind"] == "Deployment"]
    [check] = [item for item in documents(rendered, hooks=True) if item["kind"] == "Pod"]
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    server = next(each["value"] for each in container["env"] if each["name"] == "PADDOCK_SERVER_IMAGE")
    return [container["image"], server, check["spec"]["containers"][0]["image"]]


def test_images_come_from_the_registry_unless_they_are_named_in_full(render: Render) -> None:
    operator, server, check = images(
        render("--set", "crds.install=false,imageRegistry=mirror.example:5000/ai")
    )
    assert operator == check
    assert {image.split(":0")[0] for image in (operator, server)} == {
        "mirror.example:5000/ai/paddock-operator",
        "mirror.example:5000/ai/paddock-server",
    }
    named = "crds.install=false,imageRegistry=mirror.example,operator.image=own/operator:2"
    assert images(render("--set", named))[0] == "own/operator:2"


def test_the_check_runs_where_the_operator_serves(render: Render) -> None:
    watched = render("--set", "crds.install=false,operator.watchNamespaces={a,b}")
    made = {item["kind"]: item for item in documents(watched, hooks=True)}

    assert made["Role"]["metadata"]["namespace"] == made["RoleBinding"]["metadata"]["namespace"] == "a"
    assert made["Pod"]["spec"]["containers"][0]["command"][-1] == "--namespace=a"
    selector = objects(watched)["Deployment"]["spec"]["selector"]["matchLabels"]
    assert not selector.items() <= made["Pod"]["metadata"]["labels"].items()


def test_the_operator_cannot_read_a_secret_and_has_no_wildcard(defaults: dict[str, dict[str, Any]]) -> None:
    rules = defaults["ClusterRole"]["rules"] + defaults["Role"]["rules"]

    granted = {value for rule in rules for key in ("apiGroups", "resources", "verbs") for value in rule[key]}

    assert [rule["verbs"] for rule in rules if "secrets" in rule["resources"]] == [["create"]]
    assert "*" not in granted


def test_an_operator_of_some_namespaces_gets_the_same_rights_there_and_no_cluster_role(
    render: Render, defaults: dict[str, dict[str, Any]]
) -> None:
    rendered = render("--set", "crds.install=false", "--set", "operator.watchNamespaces={a,b}")
    made = documents(rendered)

    roles = {item["metadata"]["namespace"]: item["rules"] for item in made if item["kind"] == "Role"}
    [deployment] = [item for item in made if item["kind"] == "Deployment"]

    assert roles["a"] == roles["b"] == defaults["ClusterRole"]["rules"]
    assert "paddock-operator" not in {
        item["metadata"]["name"] for item in made if item["kind"].startswith("ClusterRole")
    }
    assert deployment["spec"]["template"]["spec"]["containers"][0]["args"] == [
        "--namespace=a",
        "--namespace=b",
    ]


def test_leases_are_granted_in_the_operators_namespace_only(defaults: dict[str, dict[str, Any]]) -> None:
    cluster_wide = {resource for rule in defaults["ClusterRole"]["rules"] for resource in rule["resources"]}

    assert "leases" not in cluster_wide
    assert defaults["Role"]["metadata"]["namespace"] == "paddock-system"
    assert defaults["Role"]["rules"][0]["resources"] == ["leases"]


def test_inference_services_are_read_and_only_their_status_is_written(
    defaults: dict[str, dict[str, Any]],
) -> None:
    verbs = {
        resource: set(rule["verbs"])
        for rule in defaults["ClusterRole"]["rules"]
        if rule["apiGroups"] == ["paddock.dev"]
        for resource in rule["resources"]
    }

    assert verbs == {"inferenceservices": {"get", "list", "watch"}, "inferenceservices/status": {"patch"}}


def test_the_operator_may_touch_the_kinds_that_its_client_knows_and_no_other(
    defaults: dict[str, dict[str, Any]],
) -> None:
    rules = defaults["ClusterRole"]["rules"] + defaults["Role"]["rules"]
    granted = {
        (group, resource.split("/")[0])
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }

    used = {
        (prefix.split("/")[2] if prefix.startswith("/apis/") else "", plural)
        for prefix, plural in client._PATHS.values()
    }

    # Of ConfigMaps one of Kubernetes' own is read, by a Role that Kubernetes has for that. KEDA's kind: keda.enabled.
    # One APIService and the ClusterRole that owns it, by their names, in a role of their own.
    elsewhere = {
        ("", "configmaps"),
        ("keda.sh", "scaledobjects"),
        ("apiregistration.k8s.io", "apiservices"),
        ("rbac.authorization.k8s.io", "clusterroles"),
    }
    assert granted == used - elsewhere


def test_an_operator_scaled_to_zero_leaves_no_api_that_nobody_answers(render: Render) -> None:
    rendered = render("--set", "crds.install=false,operator.replicas=0")
    assert "APIService" not in objects(rendered)


def test_the_autoscaler_may_read_exactly_the_metrics_that_are_served(render: Render) -> None:
    [reader] = [
        item
        for item in documents(render("--set", "crds.install=false"))
        if item["metadata"]["name"].endswith("metrics-api-reader") and "rules" in item
    ]

    assert set(reader["rules"][0]["resources"]) == {
        f"inferenceservices.paddock.dev/{name}" for name in METRICS
    }
    assert reader["rules"][0]["verbs"] == ["get"]


def test_the_metrics_api_is_left_out_whole_when_switched_off(render: Render) -> None:
    rendered = render("--set", "crds.install=false,metricsApi.enabled=false")

    assert "metrics-api" not in rendered
    assert "APIService" not in rendered


def test_the_selector_survives_a_change_of_names(render: Render, defaults: dict[str, dict[str, Any]]) -> None:
    renamed = objects(render("--set", "crds.install=false,fullnameOverride=other,nameOverride=name"))

    assert renamed["Deployment"]["metadata"]["name"] == "other-operator"
    assert renamed["Deployment"]["spec"]["selector"] == defaults["Deployment"]["spec"]["selector"]


def test_a_foreign_service_account_is_bound_and_not_created(render: Render) -> None:
    rendered = objects(
        render("--set", "crds.install=false,serviceAccount.create=false,serviceAccount.name=theirs")
    )

    assert "ServiceAccount" not in rendered
    assert rendered["ClusterRoleBinding"]["subjects"][0]["name"] == "theirs"
    assert rendered["Deployment"]["spec"]["template"]["spec"]["serviceAccountName"] == "theirs"


def test_without_rbac_nothing_is_granted(render: Render) -> None:
    rendered = objects(render("--set", "crds.install=false,rbac.create=false"))

    assert not {"Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"} & set(rendered)
