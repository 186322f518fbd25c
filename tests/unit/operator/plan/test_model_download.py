"""Models that are downloaded: an init container fills the cache, and the server sees the finished model only."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from paddock.operator.plan.blueprint import Blueprint
from paddock.operator.plan.pod import pod_template
from paddock.operator.plan.refusal import Refusal
from paddock.operator.plan.revision import Rendering

Make = Callable[..., Blueprint]
ARCHIVE = {"uri": "https://models.example/tiny.tar.gz", "source": {"sha256": "a" * 64}}
HUB = {"uri": "hf://Qwen/Qwen3-0.6B"}


def pod(blueprint: Blueprint, model_cache: str = "") -> dict[str, Any]:
    spec: dict[str, Any] = pod_template(blueprint, Rendering("1.0", "image:1", model_cache=model_cache))[
        "spec"
    ]
    return spec


def download(spec: dict[str, Any]) -> dict[str, Any]:
    survey, container = spec["initContainers"]
    assert [survey["name"], container["name"]] == ["survey", "download"]
    found: dict[str, Any] = container
    return found


def model_mount(container: dict[str, Any]) -> dict[str, Any]:
    [mount] = [each for each in container["volumeMounts"] if each["name"] == "model"]
    found: dict[str, Any] = mount
    return found


def test_the_download_writes_its_own_folder_and_the_server_reads_the_finished_model(
    make_blueprint: Make,
) -> None:
    spec = pod(make_blueprint(model={**HUB, "source": {"cache": "pvc://cache/team"}}))

    written, read = model_mount(download(spec)), model_mount(spec["containers"][0])

    assert written["mountPath"] == "/models/cache"
    assert written["subPath"].startswith("team/qwen-qwen3-0.6b-")
    assert read == {
        "name": "model", "mountPath": "/models/model", "subPath": f"{written['subPath']}/model", "readOnly": True,
    }  # fmt: skip
    assert spec["volumes"][0] == {"name": "model", "persistentVolumeClaim": {"claimName": "cache"}}
    assert spec["securityContext"]["fsGroup"] == 65532


def test_the_survey_sees_what_the_download_sees_and_leaves_its_last_words(make_blueprint: Make) -> None:
    survey, container = pod(make_blueprint(model=HUB))["initContainers"]

    assert survey["args"][4:6] == ["--survey", "/dev/termination-log"]
    same = {"name": "", "args": ""}
    assert survey | same == container | same


def test_the_download_is_as_restricted_as_the_server_and_takes_no_device(make_blueprint: Make) -> None:
    limits = {"memory": "8Gi", "nvidia.com/gpu": 1}
    spec = pod(make_blueprint(model=ARCHIVE, template={"resources": {"limits": limits}}))

    container = download(spec)

    assert container["securityContext"] == spec["containers"][0]["securityContext"]
    assert container["resources"] == {"limits": {"memory": "8Gi"}}
    assert container["args"][:2] == ["fetch", ARCHIVE["uri"]]
    assert container["args"][-2:] == ["--sha256", "a" * 64]


def test_the_hubs_token_and_mirror_reach_the_download_by_reference(make_blueprint: Make) -> None:
    token = {"name": "hub", "key": "token"}
    source = {"endpoint": "https://hub.example"}
    spec = pod(make_blueprint(model={**HUB, "hfTokenSecretRef": token, "source": source}))

    variables = {each["name"]: each for each in download(spec)["env"]}

    assert variables["HF_TOKEN"]["valueFrom"] == {"secretKeyRef": token}
    assert variables["HF_ENDPOINT"]["value"] == "https://hub.example"


def test_a_bucket_is_read_with_the_keys_of_a_secret(make_blueprint: Make) -> None:
    model = {"uri": "s3://models/tiny", "source": {"credentialsSecretRef": {"name": "minio"}}}

    variables = {
        each["name"]: each["valueFrom"] for each in download(pod(make_blueprint(model=model)))["env"][1:]
    }

    assert variables["AWS_SECRET_ACCESS_KEY"] == {
        "secretKeyRef": {"name": "minio", "key": "AWS_SECRET_ACCESS_KEY"}
    }
    assert variables["AWS_ENDPOINT_URL"]["secretKeyRef"]["optional"]


def test_the_revision_is_the_downloads_and_not_the_servers(make_blueprint: Make) -> None:
    spec = pod(make_blueprint(model={**HUB, "revision": "v2"}, load={"loadFormat": "pt"}))

    assert download(spec)["args"][-5:] == ["--", "--revision", "v2", "--load-format", "pt"]
    assert "--revision" not in spec["containers"][0]["args"]


def test_the_users_variables_and_mounts_reach_the_download(make_blueprint: Make) -> None:
    template = {
        "env": [{"name": "SSL_CERT_FILE", "value": "/ca/ca.crt"}],
        "volumes": [{"name": "ca", "configMap": {"name": "ca"}}],
        "volumeMounts": [{"name": "ca", "mountPath": "/ca"}],
    }
    container = download(pod(make_blueprint(model=ARCHIVE, template=template)))

    assert container["env"][0] == {"name": "SSL_CERT_FILE", "value": "/ca/ca.crt"}
    assert container["volumeMounts"][-1] == {"name": "ca", "mountPath": "/ca"}


@pytest.mark.parametrize(
    ("given", "default", "volume"),
    [
        (None, "", {"emptyDir": {}}),
        (None, "pvc://shared", {"persistentVolumeClaim": {"claimName": "shared"}}),
        ("", "pvc://shared", {"emptyDir": {}}),
        ("file:///models/cache", "", {"hostPath": {"path": "/models/cache", "type": "Directory"}}),
    ],
    ids=["each pod's disk", "the operator's choice", "the operator's choice declined", "the node's disk"],
)
def test_the_cache_is_where_the_spec_or_the_operator_says(
    make_blueprint: Make, given: str | None, default: str, volume: dict[str, Any]
) -> None:
    source = {} if given is None else {"source": {"cache": given}}

    assert pod(make_blueprint(model={**HUB, **source}), default)["volumes"][0] == {"name": "model", **volume}


def test_namespaces_share_no_folder_of_a_node(make_blueprint: Make) -> None:
    spec = pod(make_blueprint(model={**HUB, "source": {"cache": "file:///models/cache"}}))

    assert model_mount(download(spec))["subPath"].startswith("models/qwen")


def test_a_folder_of_the_node_that_is_not_allowed_is_refused(make_blueprint: Make) -> None:
    with pytest.raises(Refusal, match=r"spec\.model\.source\.cache: /etc is under none"):
        make_blueprint(model={**HUB, "source": {"cache": "file:///etc"}})


def test_two_services_share_an_entry_only_if_they_want_and_may_have_the_same(make_blueprint: Make) -> None:
    def entry(**model: Any) -> str:
        blueprint = make_blueprint(model={**HUB, **model})
        return str(model_mount(download(pod(blueprint)))["subPath"])

    token = {"name": "hub", "key": "token"}
    assert entry() == entry(dtype="float32")
    assert (
        len({entry(), entry(revision="v2"), entry(hfTokenSecretRef=token), entry(trustRemoteCode=True)}) == 4
    )


def test_a_revision_of_what_is_no_repository_is_refused(make_blueprint: Make) -> None:
    with pytest.raises(Refusal, match=r"spec\.model\.revision: v2"):
        make_blueprint(model={"uri": "pvc://models", "revision": "v2"})


def test_a_new_default_of_the_operator_changes_no_recorded_template() -> None:
    assert "model_cache" not in Rendering("1.0", "image:1").record()
    recorded = Rendering("1.0", "image:1", model_cache="pvc://cache").record()
    assert json.loads(recorded)["model_cache"] == "pvc://cache"
