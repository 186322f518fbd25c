"""When a live object is as it should be, and whose it is."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from paddock.operator.apply import APPLIED, KedaMissing, NameTaken, is_applied, owned_by, perform, with_digest
from paddock.operator.client import ApiError
from paddock.operator.plan.actions import Apply
from paddock.operator.plan.group_secret import IssueSecret
from paddock.operator.resource import InferenceService

MANIFEST = {
    "metadata": {"name": "a", "labels": {"x": "1"}},
    "spec": {"ports": [{"port": 80}], "emptyDir": {}},
}

CHILD = {"apiVersion": "v1", "kind": "Service", **MANIFEST, "metadata": {"name": "a", "namespace": "models"}}


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


@pytest.mark.parametrize(
    ("manifest", "live", "same"),
    [
        ({"limits": {"cpu": "0.5", "memory": "1024Mi"}}, {"limits": {"cpu": "500m", "memory": "1Gi"}}, True),
        ({"limits": {"cpu": "1"}}, {"limits": {"cpu": "2"}}, False),
        ({"averageValue": "0.8"}, {"averageValue": "800m"}, True),
        ({"sizeLimit": "2Gi"}, {"sizeLimit": "2G"}, False),
        ({"value": "0.5"}, {"value": "500m"}, False),
    ],
)
def test_quantities_are_compared_by_what_they_come_to(manifest: Any, live: Any, same: bool) -> None:
    assert is_applied(manifest, live) is same


def test_an_object_that_is_as_it_should_be_is_not_written() -> None:
    class Server:
        """Lists objects without their kind, as the API server does, and refuses every write."""

    manifest = {"apiVersion": "v1", "kind": "Service", **MANIFEST}
    item = {**live(), "metadata": {**with_digest(manifest)["metadata"], "resourceVersion": "5"}}
    done = perform(cast(Any, Server()), cast(Any, None), cast(Any, None), [Apply(manifest, item)])
    assert asyncio.run(done) == 0


def test_a_secret_is_asked_for_once_and_an_existing_one_stands() -> None:
    made: list[dict[str, Any]] = []

    class Server:
        async def create(self, manifest: dict[str, Any]) -> None:
            if made:
                raise ApiError(409, "AlreadyExists", "there is one")
            made.append(manifest)

    wanted = [IssueSecret({"name": "qwen3-pods", "namespace": "models"}, "group-secret")]
    for changed in (1, 0):
        assert asyncio.run(perform(cast(Any, Server()), cast(Any, None), cast(Any, None), wanted)) == changed
    assert len(made[0]["stringData"]["group-secret"]) == 64


def test_a_child_that_is_not_known_costs_one_request() -> None:
    made: list[str] = []

    class Server:
        async def make(self, manifest: dict[str, Any]) -> None:
            made.append(manifest["metadata"]["name"])

    done = perform(cast(Any, Server()), cast(Any, None), cast(Any, None), [Apply(CHILD, None)])

    assert asyncio.run(done) == 1
    assert made == ["a"]


class Taken:
    """The name is in use, by the object of that uid's owner."""

    def __init__(self, owner: str) -> None:
        self.live = {**with_digest(CHILD), "status": {}}
        self.live["metadata"] |= {"ownerReferences": [{"uid": owner, "controller": True}]}

    async def make(self, _: Any) -> None:
        raise ApiError(409, "Conflict", "the object has been modified")

    async def named(self, *_: str) -> dict[str, Any]:
        return self.live


def test_a_child_of_ours_that_was_not_known_stands(make_service: Callable[..., InferenceService]) -> None:
    done = perform(cast(Any, Taken("uid-1")), cast(Any, None), make_service(), [Apply(CHILD, None)])
    assert asyncio.run(done) == 0


def test_what_somebody_else_has_is_not_taken_over(make_service: Callable[..., InferenceService]) -> None:
    done = perform(cast(Any, Taken("theirs")), cast(Any, None), make_service(), [Apply(CHILD, None)])
    with pytest.raises(NameTaken, match="Service a exists in namespace models"):
        asyncio.run(done)


@pytest.mark.parametrize("code", [403, 404], ids=["no right", "no KEDA"])
def test_a_scaled_object_that_there_cannot_be_is_the_users_to_mend(code: int) -> None:
    class Server:
        async def make(self, _: Any) -> None:
            raise ApiError(code, "NotFound", "no such kind")

    manifest = {"kind": "ScaledObject", "metadata": {"name": "a", "namespace": "models"}}
    done = perform(cast(Any, Server()), cast(Any, None), cast(Any, None), [Apply(manifest, None)])

    with pytest.raises(KedaMissing, match=r"spec\.autoscaling\.provider: keda needs KEDA"):
        asyncio.run(done)


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
