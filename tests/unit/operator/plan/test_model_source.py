"""Addresses of models: what becomes a volume, and what is refused in which words."""

import pytest

from paddock.operator.plan.host_paths import HostPathPolicy
from paddock.operator.plan.model_source import model_source
from paddock.operator.plan.refusal import Refusal

POLICY = HostPathPolicy(True, ("/models", "/data/"))


def test_a_file_address_is_a_host_path() -> None:
    source = model_source("file:///models/a//tiny/", POLICY)
    assert source.volume == {"name": "model", "hostPath": {"path": "/models/a/tiny", "type": "Directory"}}
    assert source.mount == {"name": "model", "mountPath": "/models/model", "readOnly": True}


def test_a_claim_is_mounted_read_only_at_its_folder() -> None:
    source = model_source("pvc://weights/team/qwen3/", POLICY)
    assert source.claim == "weights"
    assert source.volume["persistentVolumeClaim"] == {"claimName": "weights", "readOnly": True}
    assert source.mount["subPath"] == "team/qwen3"


def test_an_image_is_an_image_volume() -> None:
    source = model_source("oci://localhost:5000/models/qwen3@sha256:12ab?path=/weights", POLICY)
    assert source.volume["image"]["reference"] == "localhost:5000/models/qwen3@sha256:12ab"
    assert source.mount["subPath"] == "weights"


@pytest.mark.parametrize(
    ("uri", "reason", "said"),
    [
        ("file:///etc/secrets", "HostPathNotAllowed", "/models, /data/"),
        ("file:///modelsx", "HostPathNotAllowed", "/modelsx"),
        ("file:///models/../etc", "InvalidModelSource", "without .."),
        ("file:///models/%2e%2e/etc", "InvalidModelSource", "without .."),
        ("file://models/a", "InvalidModelSource", "absolute path"),
        ("pvc:///folder", "InvalidModelSource", "pvc://CLAIM"),
        ("pvc://claim/../x", "InvalidModelSource", ".."),
        ("oci://image:1?folder=/x", "InvalidModelSource", "folder"),
        ("ftp://x/y", "UnsupportedModelSource", "not an address"),
        ("", "UnsupportedModelSource", "not an address"),
    ],
)
def test_what_cannot_be_served_is_refused_by_name(uri: str, reason: str, said: str) -> None:
    with pytest.raises(Refusal, match=r"spec\.model\.uri") as caught:
        model_source(uri, POLICY)
    assert caught.value.reason == reason
    assert said in caught.value.message


def test_host_paths_are_off_unless_the_administrator_allows_them() -> None:
    with pytest.raises(Refusal, match="does not allow"):
        model_source("file:///models/tiny", HostPathPolicy())
