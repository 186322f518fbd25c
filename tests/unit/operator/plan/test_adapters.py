"""Adapters of a spec: mounted into every pod, named to the server, and refused by their field."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from paddock.operator.plan.actions import Annotate, current_template, plan
from paddock.operator.plan.blueprint import Blueprint
from paddock.operator.plan.pod import pod_template
from paddock.operator.plan.refusal import Refusal
from paddock.operator.plan.revision import Rendering
from paddock.operator.snapshot import Pod, Snapshot

RENDERING = Rendering("1.0", "localhost/paddock-server:1.0")
TWO = [
    {"name": "sql", "uri": "pvc://weights/adapters/sql"},
    {"name": "Poems_2.0", "uri": "oci://registry.example/poems:1?path=/adapter"},
]
MakeBlueprint = Callable[..., Blueprint]


def pod(blueprint: Blueprint) -> Any:
    return pod_template(blueprint, RENDERING)["spec"]


def test_each_adapter_is_mounted_read_only_under_its_name(make_blueprint: MakeBlueprint) -> None:
    spec = pod(make_blueprint(lora={"adapters": TWO}))

    mounts = {mount["name"]: mount for mount in spec["containers"][0]["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    assert mounts["adapter-0"] == {
        "name": "adapter-0", "mountPath": "/models/adapters/sql", "subPath": "adapters/sql", "readOnly": True,
    }  # fmt: skip
    assert volumes["adapter-0"]["persistentVolumeClaim"] == {"claimName": "weights", "readOnly": True}
    assert mounts["adapter-1"]["mountPath"] == "/models/adapters/Poems_2.0"
    assert volumes["adapter-1"]["image"]["reference"] == "registry.example/poems:1"


def test_the_server_is_told_of_them_and_of_those_that_the_spec_names_itself(
    make_blueprint: MakeBlueprint,
) -> None:
    frontend = {"loraModules": [{"name": "own", "path": "/mnt/own"}]}
    lora = {"maxLoras": 2, "enableLora": True, "adapters": TWO[:1]}

    arguments = make_blueprint(lora=lora, frontend=frontend).arguments

    assert "--enable-lora" in arguments
    at = arguments.index("--lora-modules")
    assert [
        item for item in arguments[at + 1 : at + 3] if "/mnt/own" in item or "/models/adapters/sql" in item
    ]
    assert "/models/adapters/sql" in " ".join(arguments[at:])


FETCHED = [
    {"name": "rows", "uri": "hf://team/rows"},
    {"name": "poems", "uri": "https://adapters.example/poems.tar.gz", "sha256": "a" * 64},
]


def test_fetched_adapters_are_a_list_that_pods_bear_and_no_part_of_the_revision(
    make_blueprint: MakeBlueprint,
) -> None:
    none, one, two = (
        make_blueprint(lora={"enableLora": True, "adapters": FETCHED[:count]}) for count in (0, 1, 2)
    )
    template = pod_template(two, RENDERING)

    assert one.revision == two.revision == none.revision != make_blueprint(lora={"enableLora": True}).revision
    listed = json.loads(template["metadata"]["annotations"]["paddock.dev/adapters"])
    assert [(each["name"], each["uri"]) for each in listed] == [
        ("poems", "https://adapters.example/poems.tar.gz"), ("rows", "hf://team/rows"),
    ]  # fmt: skip
    assert "--enable-lora" in two.arguments
    assert "--lora-modules" not in two.arguments


def test_mounted_adapters_are_of_the_revision_beside_fetched_ones(make_blueprint: MakeBlueprint) -> None:
    revisions = {make_blueprint(lora={"adapters": [*FETCHED, *TWO[:count]]}).revision for count in (0, 1, 2)}

    assert len(revisions) == 3


def test_the_keeper_alone_may_write_the_cache_and_has_the_credentials(make_blueprint: MakeBlueprint) -> None:
    model = {
        "uri": "s3://models/tiny",
        "hfTokenSecretRef": {"name": "hub", "key": "token"},
        "source": {"credentialsSecretRef": {"name": "bucket"}, "cache": "pvc://cache"},
    }
    spec = pod(make_blueprint(model=model, lora={"adapters": FETCHED}))

    keeper, server = spec["initContainers"][-1], spec["containers"][0]
    mounts = [
        next(mount for mount in each["volumeMounts"] if mount["name"] == "paddock-adapters")
        for each in (keeper, server)
    ]
    assert mounts[0] | {"readOnly": True} == mounts[1]
    assert keeper["restartPolicy"] == "Always"
    named = {each["name"] for each in keeper["env"]}
    assert {"HF_TOKEN", "AWS_SECRET_ACCESS_KEY"} <= named
    assert "AWS_SECRET_ACCESS_KEY" not in {each["name"] for each in server["env"]}
    assert spec["securityContext"]["fsGroup"] == 65532


def test_services_that_fetch_with_other_credentials_share_no_folder(make_blueprint: MakeBlueprint) -> None:
    sources = ({}, {"hubEndpoint": "https://hub.example"}, {"credentialsSecretRef": {"name": "a"}})

    found = [make_blueprint(lora={"adapters": FETCHED, "source": source}).fetched for source in sources]

    assert len({each.folder for each in found if each}) == 3


def test_a_running_pod_is_told_of_another_list_and_is_not_replaced(
    make_blueprint: MakeBlueprint, live_set: Callable[..., Any], make_pod: Callable[..., Pod]
) -> None:
    before, after = (make_blueprint(replicas=1, lora={"adapters": FETCHED[:count]}) for count in (1, 2))
    assert before.fetched
    assert after.fetched
    running = make_pod(0, before.revision, wanted_adapters=before.fetched.annotation)
    other = make_pod(0, "older", name="qwen3-0-1", wanted_adapters="[]")
    seen = Snapshot(after.service, {0: live_set(before, 0)}, (running, other))

    actions = plan(after, seen, RENDERING)

    [told] = [each for each in actions if isinstance(each, Annotate)]
    assert told.metadata["uid"] == "pod-0"
    assert told.metadata["annotations"] == {"paddock.dev/adapters": after.fetched.annotation}
    assert not [each for each in plan(before, seen, RENDERING) if isinstance(each, Annotate)]


def test_a_template_of_another_version_gets_the_new_list_and_nothing_else(
    make_blueprint: MakeBlueprint, live_set: Callable[..., Any]
) -> None:
    before, after = (make_blueprint(lora={"adapters": FETCHED[:count]}) for count in (1, 2))
    live = live_set(before, 0)

    template = current_template(after, Snapshot(after.service, {0: live}), Rendering("2.0", "another:2"))

    assert template["spec"] == live["spec"]["template"]["spec"]
    assert after.fetched
    assert template["metadata"]["annotations"]["paddock.dev/adapters"] == after.fetched.annotation


def test_a_service_without_adapters_has_the_pods_it_had(make_blueprint: MakeBlueprint) -> None:
    assert pod(make_blueprint(lora={"adapters": []})) == pod(make_blueprint(lora={}))


def test_another_adapter_is_another_revision(make_blueprint: MakeBlueprint) -> None:
    assert (
        make_blueprint(lora={"adapters": TWO}).revision != make_blueprint(lora={"adapters": TWO[:1]}).revision
    )


@pytest.mark.parametrize(
    ("lora", "field"),
    [
        ({"adapters": [{"name": "a", "uri": "ftp://team/adapter"}]}, "spec.lora.adapters.0.uri"),
        ({"adapters": FETCHED, "source": {"cache": "file:///etc"}}, "spec.lora.source.cache"),
        ({"adapters": [TWO[0], {"name": "a", "uri": "file:///etc/x"}]}, "spec.lora.adapters[1].uri"),
        ({"adapters": [{"name": "../a", "uri": "pvc://weights/a"}]}, "spec.lora.adapters.0.name"),
        (
            {"adapters": [{"name": "qwen3", "uri": "pvc://weights/a"}]},
            "spec.lora.adapters: qwen3 is the name of",
        ),
        ({"adapters": TWO, "enableLora": False}, "spec.frontend.loraModules"),
    ],
)
def test_what_cannot_be_mounted_is_refused_with_its_field(
    make_blueprint: MakeBlueprint, lora: dict[str, Any], field: str
) -> None:
    with pytest.raises(Refusal) as caught:
        make_blueprint(lora=lora)

    assert field in caught.value.message
