"""When a live object is as it should be, and whose it is."""

from typing import Any

import pytest

from paddock.operator.apply import APPLIED, is_applied, owned_by, with_digest

MANIFEST = {
    "metadata": {"name": "a", "labels": {"x": "1"}},
    "spec": {"ports": [{"port": 80}], "emptyDir": {}},
}


def live() -> dict[str, Any]:
    """MANIFEST as the API server returns it: with defaults and with fields of others."""
    return {
        "metadata": {"name": "a", "labels": {"x": "1", "theirs": "2"}, "annotations": {"note": "kept"}},
        "spec": {"ports": [{"port": 80, "protocol": "TCP"}], "sessionAffinity": "None"},
        "status": {},
    }


def test_defaults_and_fields_of_others_are_no_difference() -> None:
    assert is_applied(MANIFEST, live())


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("metadata", "labels", "x"), "2"),
        (("spec", "ports"), [{"port": 81}]),
        (("spec", "ports"), []),
        (("spec", "ports"), [{"port": 80}, {"port": 81}]),
    ],
)
def test_a_foreign_edit_of_our_field_is_a_difference(path: tuple[str, ...], value: Any) -> None:
    body = live()
    target = body
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value
    assert not is_applied(MANIFEST, body)


def test_a_field_that_we_no_longer_set_is_noticed_by_the_digest() -> None:
    with_more = {**MANIFEST, "spec": {**MANIFEST["spec"], "clusterIP": "None"}}
    body = live()
    body["spec"]["clusterIP"] = "None"
    body["metadata"]["annotations"][APPLIED] = with_digest(with_more)["metadata"]["annotations"][APPLIED]
    assert is_applied(with_digest(with_more), body)
    assert not is_applied(with_digest(MANIFEST), body)


def test_a_digest_depends_on_the_content_only() -> None:
    assert with_digest(MANIFEST) == with_digest({"spec": MANIFEST["spec"], "metadata": MANIFEST["metadata"]})


def test_only_the_controlling_owner_owns() -> None:
    owners = [{"uid": "u1", "controller": True}, {"uid": "u2"}]
    body = {"metadata": {"ownerReferences": owners}}
    assert owned_by(body, "u1")
    assert not owned_by(body, "u2")
    assert not owned_by({"metadata": {}}, "u1")
