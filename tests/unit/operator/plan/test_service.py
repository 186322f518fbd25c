"""The Services while pods speak http, https, or both."""

from collections.abc import Callable

from paddock.operator.plan.blueprint import Blueprint
from paddock.operator.plan.companions import companions
from paddock.operator.plan.network_policy import Isolation
from paddock.operator.plan.service import client_service, url
from paddock.operator.resource import InferenceService
from paddock.operator.snapshot import Pod, Snapshot

Services = Callable[..., InferenceService]
Pods = Callable[..., Pod]


def test_https_is_at_its_own_port_under_its_own_name(make_service: Services) -> None:
    service = make_service()
    assert client_service(service, {"https"})["spec"]["ports"] == [
        {"name": "https", "appProtocol": "https", "port": 443, "targetPort": "https", "protocol": "TCP"}
    ]
    assert url(service, "https") == "https://qwen3.models.svc"


def test_both_ports_are_open_while_a_rollout_changes_the_scheme(
    make_service: Services, make_pod: Pods
) -> None:
    pods = (make_pod(0, "new", scheme="https"), make_pod(1, "old"), make_pod(2, "old", stopping=True))
    seen = Snapshot(make_service(), pods=pods)
    assert seen.schemes() == {"http", "https"}
    assert [port["port"] for port in client_service(seen.service, seen.schemes())["spec"]["ports"]] == [
        80,
        443,
    ]


def test_the_address_changes_once_a_pod_answers_at_the_new_one(
    make_service: Services, make_pod: Pods
) -> None:
    old, starting = make_pod(0, "old"), make_pod(1, "new", scheme="https", ready=False)
    ready = make_pod(1, "new", scheme="https")
    assert Snapshot(make_service(), pods=(old, starting)).served_scheme("https") == "http"
    assert Snapshot(make_service(), pods=(old, ready)).served_scheme("https") == "https"
    assert Snapshot(make_service()).served_scheme("https") == "https"


def test_clients_are_led_to_every_pod_once_no_follower_of_an_earlier_spec_is_left(
    make_blueprint: Callable[..., Blueprint], make_pod: Pods
) -> None:
    blueprint = make_blueprint(
        parallel={"dataParallelSize": 2, "dataParallelSizeLocal": 1, "dataParallelHybridLb": True}
    )
    alone, follower = make_pod(0, "new", answers_alone=True), make_pod(1, "old", name="qwen3-1-1")

    def selected(*pods: Pod) -> dict[str, str]:
        objects = companions(blueprint, Snapshot(blueprint.service, pods=pods), Isolation())
        named = {(body["kind"], body["metadata"]["name"]): body["spec"] for body in objects if "spec" in body}
        selector: dict[str, str] = named["Service", "qwen3"]["selector"]
        return selector

    everyone = {"paddock.dev/service": "qwen3"}
    leaders = {**everyone, "apps.kubernetes.io/pod-index": "0"}
    assert selected() == selected(alone) == everyone
    assert selected(alone, follower) == leaders
