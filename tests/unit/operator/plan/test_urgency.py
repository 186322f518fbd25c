"""What waits while others wait for their first pods, and what never does."""

from collections.abc import Callable
from typing import Any

from paddock.operator.plan.actions import Apply, plan
from paddock.operator.plan.blueprint import Blueprint
from paddock.operator.plan.revision import Rendering
from paddock.operator.plan.urgency import urgent
from paddock.operator.snapshot import Snapshot, companion_key

Blueprints = Callable[..., Blueprint]


def made(blueprint: Blueprint, rendering: Rendering, **live: Any) -> list[str]:
    seen = Snapshot(blueprint.service, **live)
    actions = urgent(plan(blueprint, seen, rendering), blueprint, seen)
    return [action.manifest["kind"] for action in actions if isinstance(action, Apply)]


def test_of_a_new_service_only_what_its_pods_need_is_made(
    make_blueprint: Blueprints, rendering: Rendering
) -> None:
    blueprint = make_blueprint(
        replicas=1, autoscaling={"maxReplicas": 3, "metrics": [{"type": "RequestsWaiting", "target": 4}]}
    )
    assert made(blueprint, rendering) == ["ServiceAccount", "NetworkPolicy", "StatefulSet"]


def test_pods_that_must_find_each_other_get_their_names_at_once(
    make_blueprint: Blueprints, rendering: Rendering
) -> None:
    blueprint = make_blueprint(replicas=1, nodes=2, parallel={"tensorParallelSize": 2})
    assert made(blueprint, rendering).count("Service") == 2


def test_nothing_waits_once_there_is_a_group_or_where_none_is_wanted(
    make_blueprint: Blueprints, live_set: Callable[..., dict[str, Any]], rendering: Rendering
) -> None:
    wanted, unwanted = make_blueprint(replicas=2), make_blueprint(replicas=0)
    for kinds in made(wanted, rendering, stateful_sets={0: live_set(wanted, 0)}), made(unwanted, rendering):
        assert {"Service", "PodDisruptionBudget"} <= set(kinds)


def test_a_service_that_stands_half_is_made_in_the_order_of_a_calm_pass(
    make_blueprint: Blueprints, rendering: Rendering
) -> None:
    blueprint = make_blueprint(replicas=1)
    account = {"kind": "ServiceAccount", "metadata": {"name": "qwen3-pods"}}
    kinds = made(blueprint, rendering, companions={companion_key(account): account})
    assert kinds.index("Service") < kinds.index("StatefulSet")
