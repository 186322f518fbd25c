"""What is known of the children, whatever the order in which news of them come."""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddock.operator.children import Children, News

KEY = ("models", "qwen3")
PLACE = ("Pod", "models", "qwen3-0-0")


def pod(version: int, uid: str = "a", service: str | None = "qwen3", name: str = "qwen3-0-0") -> News:
    body: dict[str, Any] = {
        "kind": "Pod",
        "metadata": {
            "namespace": "models",
            "name": name,
            "uid": uid,
            "resourceVersion": str(version),
            "labels": {"paddock.dev/service": service} if service else {},
            "managedFields": [{"manager": "kubelet"}],
        },
    }
    return News.of("Pod", body)


def versions(children: Children) -> list[str]:
    return [body["metadata"]["resourceVersion"] for body in children.of(KEY, "Pod")]


def test_the_newest_state_is_kept_whatever_comes_last() -> None:
    children = Children()

    assert children.saw(pod(5)) == {KEY}
    assert children.saw(pod(3)) == set()

    assert versions(children) == ["5"]


def test_the_echo_of_our_own_write_is_no_news() -> None:
    children = Children()
    children.saw(pod(5))

    assert children.saw(pod(5)) == set()


def test_what_changes_nothing_that_is_read_is_no_news_but_moves_the_version() -> None:
    children = Children()
    children.saw(pod(5))

    assert children.saw(pod(6)) == set()

    assert versions(children) == ["6"]


def of_kind(kind: str, version: int, labels: Mapping[str, str] = MappingProxyType({}), **fields: Any) -> News:
    meta = {"namespace": "models", "name": "qwen3-a", "uid": kind, "resourceVersion": str(version)}
    return News.of(
        kind, {"metadata": {**meta, "labels": {"paddock.dev/service": "qwen3", **labels}}, **fields}
    )


@pytest.mark.parametrize("kind", ["HorizontalPodAutoscaler", "PodDisruptionBudget"])
def test_a_status_that_nobody_reads_is_no_news_and_an_edit_is(kind: str) -> None:
    children = Children()
    children.saw(of_kind(kind, 5, spec={"least": 1}))

    assert children.saw(of_kind(kind, 6, spec={"least": 1}, status={"seen": 1})) == set()
    assert children.saw(of_kind(kind, 7, spec={"least": 2}, status={"seen": 1})) == {KEY}


def test_endpoints_of_the_client_service_are_news_and_those_of_the_headless_one_are_none() -> None:
    children = Children()
    client, headless = ({"kubernetes.io/service-name": name} for name in ("qwen3", "qwen3-pods"))

    assert children.saw(of_kind("EndpointSlice", 5, headless)) == set()
    assert children.saw(of_kind("EndpointSlice", 6, client)) == {KEY}


def test_managed_fields_are_not_kept() -> None:
    children = Children()
    children.saw(pod(5))

    assert "managedFields" not in children.of(KEY, "Pod")[0]["metadata"]


def test_late_news_do_not_bring_back_what_is_gone() -> None:
    children = Children()
    children.saw(pod(5))

    assert children.lost(PLACE, "a", 7) == {KEY}

    assert children.saw(pod(6)) == set()
    assert versions(children) == []


def test_the_end_of_a_predecessor_leaves_its_successor() -> None:
    children = Children()
    children.saw(pod(5))
    children.saw(pod(9, uid="b"))

    assert children.lost(PLACE, "a", 7) == set()
    assert versions(children) == ["9"]


def test_a_child_whose_label_is_put_back_counts_again() -> None:
    children = Children()
    children.saw(pod(5))
    children.lost(PLACE, "a", 7)

    assert children.saw(pod(8)) == {KEY}


def test_a_child_that_is_given_to_another_service_concerns_both() -> None:
    children = Children()
    children.saw(pod(5))

    assert children.saw(pod(6, service="other")) == {KEY, ("models", "other")}
    assert versions(children) == []


def test_what_a_list_lacks_is_gone_unless_it_came_after_the_list() -> None:
    children = Children()
    children.saw(pod(5))
    children.saw(pod(12, uid="b", name="qwen3-1-0"))

    assert children.listed("Pod", None, [], 10) == {KEY}

    assert versions(children) == ["12"]


def test_a_list_of_one_namespace_says_nothing_of_others() -> None:
    children = Children()
    children.saw(pod(5))

    assert children.listed("Pod", "elsewhere", [], 10) == set()
    assert versions(children) == ["5"]


def test_what_we_removed_stays_away() -> None:
    children = Children()
    children.saw(pod(5))
    children.lost(PLACE, "a", math.inf)

    assert children.saw(pod(100)) == set()
    assert len(children) == 0


@given(st.permutations([("saw", 1), ("saw", 2), ("saw", 4), ("lost", 3)]))
def test_news_in_any_order_end_in_the_same_state(order: list[tuple[str, int]]) -> None:
    children = Children()
    for what, version in order:
        if what == "saw":
            children.saw(pod(version))
        else:
            children.lost(PLACE, "a", version)

    # Lost at 3 and seen at 4: a label that came back.
    assert versions(children) == ["4"]
