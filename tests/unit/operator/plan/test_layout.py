"""How ranks are dealt out to pods, and what each pod then takes of its node."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from paddock.operator.plan.blueprint import Blueprint
from paddock.operator.plan.companions import companions
from paddock.operator.plan.layout import Layout, layout
from paddock.operator.plan.network_policy import Isolation
from paddock.operator.plan.pod import pod_template
from paddock.operator.plan.refusal import Refusal
from paddock.operator.plan.revision import Rendering
from paddock.operator.resource import OperatorSpec
from paddock.operator.snapshot import Snapshot

Blueprints = Callable[..., Blueprint]
GPU = "nvidia.com/gpu"


def gpus(count: int, resource: str = GPU) -> dict[str, Any]:
    return {"resources": {"limits": {resource: count}}}


@pytest.mark.parametrize(
    ("tensor", "pipeline", "spec", "expected"),
    [
        (1, 1, {}, Layout(1, 1)),
        (4, 1, {}, Layout(1, 4)),
        (8, 2, {"template": gpus(8)}, Layout(2, 8)),
        (8, 1, {"template": gpus(8)}, Layout(1, 8)),
        (2, 2, {"nodes": 4}, Layout(4, 1)),
        (4, 2, {"nodes": 2, "template": gpus(8)}, Layout(2, 4)),
        (4, 1, {"template": gpus(2, "amd.com/gpu") | {"accelerator": "amd.com/gpu"}}, Layout(2, 2)),
    ],
)
def test_ranks_are_dealt_out_evenly(
    tensor: int, pipeline: int, spec: dict[str, Any], expected: Layout
) -> None:
    assert layout(tensor, pipeline, OperatorSpec.model_validate(spec), "") == expected


@pytest.mark.parametrize(
    ("tensor", "pipeline", "spec", "said"),
    [
        (3, 1, {"nodes": 2}, "3 ranks, which do not divide evenly over 2 pods"),
        (5, 1, {"template": gpus(4)}, "5 ranks, which do not divide evenly over 2 pods of 4 nvidia.com/gpu"),
        (8, 1, {"nodes": 1, "template": gpus(4)}, "nvidia.com/gpu 4 is too little"),
    ],
)
def test_what_cannot_be_dealt_out_is_refused_with_the_arithmetic(
    tensor: int, pipeline: int, spec: dict[str, Any], said: str
) -> None:
    with pytest.raises(Refusal) as caught:
        layout(tensor, pipeline, OperatorSpec.model_validate(spec), "")
    assert said in caught.value.message


def pod(blueprint: Blueprint, cut: Layout, accelerator: str = "") -> dict[str, Any]:
    blueprint = dataclasses.replace(blueprint, layout=cut)
    spec: dict[str, Any] = pod_template(blueprint, Rendering("1.0", "image:1", accelerator=accelerator))[
        "spec"
    ]
    return spec


def test_each_rank_gets_one_of_the_operators_accelerator(make_blueprint: Blueprints) -> None:
    [container] = pod(make_blueprint(), Layout(1, 4), GPU)["containers"]
    assert container["resources"] == {"limits": {GPU: "4"}}


@pytest.mark.parametrize(
    ("template", "limits"),
    [
        (gpus(8), {GPU: "8"}),
        ({"accelerator": ""}, None),
        ({"accelerator": "amd.com/gpu"}, {"amd.com/gpu": "4"}),
        ({"resourceClaims": [{"name": "gpu", "resourceClaimTemplateName": "gpus"}]}, None),
        ({"resources": {"limits": {"rdma/hca": 1}}}, {"rdma/hca": "1", GPU: "4"}),
    ],
)
def test_the_template_has_the_last_word_on_devices(
    template: dict[str, Any], limits: dict[str, str] | None, make_blueprint: Blueprints
) -> None:
    [container] = pod(make_blueprint(template=template), Layout(1, 4), GPU)["containers"]
    assert container.get("resources", {}).get("limits") == limits


def test_a_claim_is_the_pods_and_the_containers(make_blueprint: Blueprints) -> None:
    claims = [{"name": "gpu", "resourceClaimTemplateName": "gpus"}]
    spec = pod(make_blueprint(template={"resourceClaims": claims}), Layout())
    assert spec["resourceClaims"] == claims
    assert spec["containers"][0]["resources"] == {"claims": [{"name": "gpu"}]}


@pytest.mark.parametrize(
    ("template", "ranks", "size"),
    [({}, 1, None), ({}, 2, "2Gi"), ({"sharedMemory": "8Gi"}, 1, "8Gi")],
)
def test_ranks_of_one_pod_share_enough_memory(
    template: dict[str, Any], ranks: int, size: str | None, make_blueprint: Blueprints
) -> None:
    spec = pod(make_blueprint(template=template), Layout(1, ranks))
    sizes = [v["emptyDir"].get("sizeLimit") for v in spec["volumes"] if v["name"] == "shared-memory"]
    assert sizes == ([size] if size else [])


def test_a_users_own_shared_memory_stands(make_blueprint: Blueprints) -> None:
    own = {
        "volumes": [{"name": "mine", "emptyDir": {"medium": "Memory"}}],
        "volumeMounts": [{"name": "mine", "mountPath": "/dev/shm"}],
    }
    spec = pod(make_blueprint(template=own), Layout(1, 2))
    assert [v["name"] for v in spec["volumes"]] == ["model", "tmp", "mine"]


def test_members_may_talk_to_each_other_and_one_at_a_time_may_be_evicted(make_blueprint: Blueprints) -> None:
    blueprint = dataclasses.replace(make_blueprint(rollout={"maxUnavailable": 2}), layout=Layout(2, 1))
    objects = companions(blueprint, Snapshot(blueprint.service), Isolation())
    named = {(body["kind"], body["metadata"]["name"]): body["spec"] for body in objects if "spec" in body}
    member = {"podSelector": {"matchLabels": {"paddock.dev/service": "qwen3"}}}
    assert named["NetworkPolicy", "qwen3-pods"]["ingress"] == [{"from": [member]}]
    assert named["PodDisruptionBudget", "qwen3-pods"]["maxUnavailable"] == 1


def test_the_operator_is_let_in_beside_the_named_clients(make_blueprint: Blueprints) -> None:
    blueprint = make_blueprint(clients=[{"namespaceSelector": {"matchLabels": {"team": "shop"}}}])
    objects = companions(
        blueprint, Snapshot(blueprint.service), Isolation(operator_namespace="paddock-system")
    )
    [clients, _] = [body for body in objects if body["kind"] == "NetworkPolicy"]
    [rule] = clients["spec"]["ingress"]
    assert rule["from"][0] == {"namespaceSelector": {"matchLabels": {"team": "shop"}}}
    assert rule["from"][1]["podSelector"] == {"matchLabels": {"app.kubernetes.io/name": "paddock-operator"}}
    assert rule["ports"] == [{"port": "http", "protocol": "TCP"}]
