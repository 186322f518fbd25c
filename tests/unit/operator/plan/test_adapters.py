"""Adapters of a spec: mounted into every pod, named to the server, and refused by their field."""

from collections.abc import Callable
from typing import Any

import pytest

from paddock.operator.plan.blueprint import Blueprint
from paddock.operator.plan.pod import pod_template
from paddock.operator.plan.refusal import Refusal
from paddock.operator.plan.revision import Rendering

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


def test_a_service_without_adapters_has_the_pods_it_had(make_blueprint: MakeBlueprint) -> None:
    assert pod(make_blueprint(lora={"adapters": []})) == pod(make_blueprint(lora={}))


def test_another_adapter_is_another_revision(make_blueprint: MakeBlueprint) -> None:
    assert (
        make_blueprint(lora={"adapters": TWO}).revision != make_blueprint(lora={"adapters": TWO[:1]}).revision
    )


@pytest.mark.parametrize(
    ("lora", "field"),
    [
        ({"adapters": [{"name": "a", "uri": "hf://team/adapter"}]}, "spec.lora.adapters[0].uri"),
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
