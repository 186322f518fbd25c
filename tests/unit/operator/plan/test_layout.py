"""How ranks are dealt out to pods, and what each pod then takes of its node."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from paddock.engine.config import ServeConfig
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


def config(tensor: int = 1, pipeline: int = 1, **parallel: Any) -> ServeConfig:
    sizes = {"tensor_parallel_size": tensor, "pipeline_parallel_size": pipeline, **parallel}
    return ServeConfig(model={"model": "m"}, parallel=sizes)


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
    assert layout(config(tensor, pipeline), OperatorSpec.model_validate(spec), "") == expected


LOCAL, HYBRID = {"data_parallel_size_local": 2}, {"data_parallel_hybrid_lb": True}
SHARED = {"enable_expert_parallel": True}


@pytest.mark.parametrize(
    ("parallel", "spec", "expected"),
    [
        ({}, {}, Layout(1, 4, 4)),
        ({}, {"nodes": 2}, Layout(2, 2, 2)),
        (SHARED, {"template": gpus(2)}, Layout(2, 2, 2, share_experts=True)),
        (LOCAL | HYBRID | SHARED, {}, Layout(2, 2, 2, each_answers=True, share_experts=True)),
        (LOCAL, {}, Layout(2, 2, 2)),
        ({}, {"template": gpus(1)}, Layout(4, 1, 1)),
        ({"tensor_parallel_size": 2}, {"template": gpus(4)}, Layout(2, 4, 2)),
        ({"tensor_parallel_size": 2}, {"template": gpus(8), "nodes": 4}, Layout(4, 2, 1)),
        (LOCAL | HYBRID, {}, Layout(2, 2, 2, each_answers=True)),
        ({"data_parallel_size_local": 1} | HYBRID, {"template": gpus(8)}, Layout(4, 1, 1, each_answers=True)),
        ({"data_parallel_size_local": 4} | HYBRID, {}, Layout(1, 4, 4)),
    ],
)
def test_four_engines_stay_whole_in_equal_pods(
    parallel: dict[str, Any], spec: dict[str, Any], expected: Layout
) -> None:
    given = config(data_parallel_size=4, **parallel)
    assert layout(given, OperatorSpec.model_validate(spec), "") == expected


@pytest.mark.parametrize(
    ("parallel", "meets", "has_followers"),
    [
        (LOCAL, True, True),
        (LOCAL | HYBRID, False, False),
        (LOCAL | HYBRID | SHARED, True, False),
        (LOCAL | SHARED, True, True),
        ({"data_parallel_size_local": 4} | SHARED, False, False),
    ],
)
def test_pods_that_share_experts_meet_also_where_each_answers(
    parallel: dict[str, Any], meets: bool, has_followers: bool
) -> None:
    cut = layout(config(data_parallel_size=4, **parallel), OperatorSpec.model_validate({}), "")
    assert (cut.meets, cut.has_followers) == (meets, has_followers)


@pytest.mark.parametrize(
    ("parallel", "spec", "said"),
    [
        (
            {"data_parallel_size": 3},
            {"nodes": 2},
            "3 engines do not divide evenly over 2 pods with one engine each",
        ),
        ({"data_parallel_size": 4}, {"template": gpus(3)}, "over 2 pods with 3 engines each"),
        (
            {"data_parallel_size": 2, "tensor": 4},
            {"template": gpus(2)},
            "an engine of 4 ranks (tensorParallelSize 4 times pipelineParallelSize 1) does not fit a pod of 2",
        ),
        (
            {"data_parallel_size": 4, "data_parallel_size_local": 4},
            {"template": gpus(2)},
            "nvidia.com/gpu 2 is too little",
        ),
        (HYBRID | {"data_parallel_size_local": 1}, {}, "needs dataParallelSize above 1"),
        (
            {"data_parallel_size": 2, "max_parallel_loading_workers": 1},
            {},
            "maxParallelLoadingWorkers: 1 does not go with 2 engines in a pod",
        ),
    ],
)
def test_engines_that_cannot_be_dealt_out_are_refused_with_the_arithmetic(
    parallel: dict[str, Any], spec: dict[str, Any], said: str
) -> None:
    with pytest.raises(Refusal) as caught:
        layout(config(**parallel), OperatorSpec.model_validate(spec), "")
    assert said in caught.value.message


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
        layout(config(tensor, pipeline), OperatorSpec.model_validate(spec), "")
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
    assert {"from": [member]} in named["NetworkPolicy", "qwen3"]["ingress"]
    assert named["PodDisruptionBudget", "qwen3-pods"]["maxUnavailable"] == 1


def test_the_policy_chooses_pods_by_labels_that_every_enforcer_sees(make_blueprint: Blueprints) -> None:
    blueprint = dataclasses.replace(make_blueprint(), layout=Layout(2, 1))
    objects = companions(blueprint, Snapshot(blueprint.service), Isolation())
    # Cilium takes no account of apps.kubernetes.io/pod-index and statefulset.kubernetes.io/pod-name.
    [policy] = [body["spec"] for body in objects if body["kind"] == "NetworkPolicy"]
    assert policy["podSelector"] == {"matchLabels": {"paddock.dev/service": "qwen3"}}


def test_the_pods_own_account_pulls_images_by_the_operators_secrets(make_blueprint: Blueprints) -> None:
    blueprint = make_blueprint()
    objects = companions(blueprint, Snapshot(blueprint.service), Isolation(pull_secrets=("mirror", "spare")))
    [account] = [body for body in objects if body["kind"] == "ServiceAccount"]
    assert account["imagePullSecrets"] == [{"name": "mirror"}, {"name": "spare"}]


def test_the_operator_is_let_in_beside_the_named_clients(make_blueprint: Blueprints) -> None:
    blueprint = make_blueprint(clients=[{"namespaceSelector": {"matchLabels": {"team": "shop"}}}])
    objects = companions(
        blueprint, Snapshot(blueprint.service), Isolation(operator_namespace="paddock-system")
    )
    [policy] = [body for body in objects if body["kind"] == "NetworkPolicy"]
    [rule] = policy["spec"]["ingress"]
    assert rule["from"][0] == {"namespaceSelector": {"matchLabels": {"team": "shop"}}}
    assert rule["from"][1]["podSelector"] == {"matchLabels": {"app.kubernetes.io/name": "paddock-operator"}}
    assert rule["ports"] == [{"port": "http", "protocol": "TCP"}]


def test_pods_of_a_group_share_a_domain_beside_what_the_user_asked_for(make_blueprint: Blueprints) -> None:
    term = {"topologyKey": "zone", "labelSelector": {"matchLabels": {"app": "cache"}}}
    wanted = {
        "groupTopologyKey": "rack",
        "affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}},
    }
    spec = pod(make_blueprint(template=wanted), Layout(2, 1))
    first, own = spec["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert first == term
    assert own["topologyKey"] == "rack"
    assert own["matchLabelKeys"] == ["paddock.dev/group"]
    [evenly] = spec["topologySpreadConstraints"]
    assert (evenly["topologyKey"], evenly["whenUnsatisfiable"]) == ("rack", "ScheduleAnyway")
    [evenly] = pod(make_blueprint(template=wanted), Layout(1, 1))["topologySpreadConstraints"]
    assert evenly["topologyKey"] == "kubernetes.io/hostname"
