"""What changes a revision, and what an upgrade of the operator must leave alone."""

from collections.abc import Callable
from typing import Any

import pytest

from paddock.operator.plan.actions import Apply, current_template, plan
from paddock.operator.plan.blueprint import Blueprint
from paddock.operator.plan.revision import RENDERED_WITH, Rendering
from paddock.operator.snapshot import Snapshot

UPGRADED = Rendering("2.0", "localhost/paddock-server:2.0", "Always")


@pytest.mark.parametrize(
    "spec",
    [
        {"replicas": 7},
        {"rollout": {"maxSurge": 3, "maxUnavailable": 2}},
        {"rollout": {"drainTimeout": "5m"}, "nodes": 1},
        {"template": {"startupTimeout": "30m"}, "cache": {}, "scheduler": None},
        {"cache": {"gpuMemoryUtilization": 0.9}},
    ],
)
def test_scale_budget_and_defaults_are_not_part_of_a_revision(
    spec: dict[str, Any], make_blueprint: Callable[..., Blueprint]
) -> None:
    assert make_blueprint(**spec).revision == make_blueprint().revision


@pytest.mark.parametrize(
    "spec",
    [
        {"model": {"uri": "file:///models/other"}},
        {"cache": {"gpuMemoryUtilization": 0.8}},
        {"rollout": {"drainTimeout": "6m"}},
        {"template": {"annotations": {"restarted": "now"}}},
        {"frontend": {"apiKeySecretRef": {"name": "a", "key": "b"}}},
    ],
)
def test_what_shapes_pods_is_part_of_a_revision(
    spec: dict[str, Any], make_blueprint: Callable[..., Blueprint]
) -> None:
    assert make_blueprint(**spec).revision != make_blueprint().revision


def test_an_upgraded_operator_leaves_live_templates_byte_identical(
    make_blueprint: Callable[..., Blueprint], live_set: Callable[..., dict[str, Any]]
) -> None:
    blueprint = make_blueprint(replicas=2)
    live = {0: live_set(blueprint, 0)}
    # A field that another renderer wrote, and that this one would not.
    live[0]["spec"]["template"]["spec"]["hostname"] = "from-an-older-renderer"
    applied = [
        a.manifest
        for a in plan(blueprint, Snapshot(blueprint.service, live), UPGRADED)
        if isinstance(a, Apply)
    ]
    sets = [manifest["spec"]["template"] for manifest in applied if manifest["kind"] == "StatefulSet"]
    assert sets[0] == live[0]["spec"]["template"]
    sets[1]["metadata"]["labels"]["paddock.dev/group"] = "0"
    assert sets[1] == sets[0], "a group added after the upgrade is like its siblings"


def test_a_template_of_this_version_is_repaired_with_what_it_was_rendered_with(
    make_blueprint: Callable[..., Blueprint], live_set: Callable[..., dict[str, Any]], rendering: Rendering
) -> None:
    blueprint = make_blueprint()
    live = {0: live_set(blueprint, 0)}
    live[0]["spec"]["template"]["spec"]["containers"][0]["args"] = ["sleep"]
    other_image = Rendering(rendering.version, "localhost/paddock-server:later")
    template = current_template(blueprint, Snapshot(blueprint.service, live), other_image)
    assert template["spec"]["containers"][0]["args"][0] == "serve"
    assert template["spec"]["containers"][0]["image"] == rendering.image


def test_an_edited_spec_is_rendered_with_what_the_operator_has_now(
    make_blueprint: Callable[..., Blueprint], live_set: Callable[..., dict[str, Any]]
) -> None:
    old, new = make_blueprint(), make_blueprint(cache={"gpuMemoryUtilization": 0.4})
    template = current_template(new, Snapshot(new.service, {0: live_set(old, 0)}), UPGRADED)
    assert template["spec"]["containers"][0]["image"] == UPGRADED.image
    assert template["metadata"]["annotations"][RENDERED_WITH] == UPGRADED.record()


def test_a_record_of_unknown_shape_counts_as_another_version() -> None:
    assert (
        Rendering.recorded({"metadata": {"annotations": {RENDERED_WITH: '{"image": 1, "more": 2}'}}}) is None
    )
    assert Rendering.recorded({"metadata": {"annotations": {RENDERED_WITH: "gone"}}}) is None
    assert Rendering.recorded({"metadata": {}}) is None
