"""NetworkPolicies as a real enforcer takes them: clients reach the API, members their group, and nobody else anything.

On a cluster of its own, whose nodes run Cilium with its defaults.
"""

import json
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from asking import ask
from cilium import enforce_policies
from helm import install_chart
from installed import Cluster, engine_pods, service_url
from kubectl import Kubectl, Manifest, condition
from local import bring_up, command
from manifests import client_pod, inference_service, namespace
from waiting import NotYet, until

# The first run builds Cilium.
pytestmark = [pytest.mark.long, pytest.mark.timeout(3600)]

NAME = "policies"
API = 8000
QUESTION = "What is the capital of France?"
CHAT_OF_SHOP = {
    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "shop"}},
    "podSelector": {"matchLabels": {"app": "chat"}},
}
DENY_ALL: Manifest = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "NetworkPolicy",
    "metadata": {"name": "deny-all"},
    "spec": {"podSelector": {}, "policyTypes": ["Ingress"]},
}
_LISTENING = """
import json
rows = [line.split() for name in ("tcp", "tcp6") for line in list(open("/proc/net/" + name))[1:]]
local = [row[1].split(":") for row in rows if row[3] == "0A"]
print(json.dumps(sorted({int(port, 16) for address, port in local if not address.endswith(("0100007F", "01000000"))})))
"""
_CONNECT = """
import json, socket
from concurrent.futures import ThreadPoolExecutor
def tried(address):
    try:
        socket.create_connection(address, timeout=3).close()
    except TimeoutError:
        return "dropped"
    except ConnectionRefusedError:
        return "refused"
    return "open"
with ThreadPoolExecutor(32) as pool:
    print(json.dumps(list(pool.map(tried, {addresses!r}))))
"""


class Caller(NamedTuple):
    """A pod that would ask, and what its label `app` says."""

    namespace: str
    name: str
    app: str


class Address(NamedTuple):
    """Where a connection goes: to a Service by its name, to a pod by its number."""

    host: str
    port: int


CLIENT = Caller("shop", "client", "chat")
STRANGERS = (
    Caller("shop", "stranger", "else"),
    Caller("elsewhere", "client", "chat"),
    Caller("models", "neighbour", "chat"),
)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Two nodes that enforce policies; the chart writes none yet."""
    try:
        cluster = bring_up(NAME)
        enforce_policies(cluster)
        install_chart(cluster, "--set", "networkPolicies.enabled=false")
        yield cluster
    finally:
        command(NAME, "down", "--purge")


@pytest.fixture(scope="module")
def models(cluster: Cluster) -> Kubectl:
    """A service of one pod and one of two, both for one client alone, and those who would ask them."""
    for caller in (CLIENT, *STRANGERS):
        pod = client_pod(caller.name, cluster.server_image)
        pod["metadata"]["labels"] = {"app": caller.app}
        cluster.kubectl.apply(namespace(caller.namespace))
        cluster.kubectl.in_namespace(caller.namespace).apply(pod)
    models = cluster.kubectl.in_namespace("models")
    models.apply(
        inference_service("one", cluster.model_uri, clients=[CHAT_OF_SHOP]),
        inference_service(
            "two", cluster.model_uri, clients=[CHAT_OF_SHOP], nodes=2, parallel={"tensorParallelSize": 2}
        ),
    )
    for caller in (CLIENT, *STRANGERS):
        cluster.kubectl.in_namespace(caller.namespace).run(
            "wait", "--for=condition=Ready", f"pod/{caller.name}", "--timeout=120s"
        )
    answering(models, "one", pods=1)
    answering(models, "two", pods=2)
    return models


@pytest.fixture(scope="module")
def isolated(cluster: Cluster, models: Kubectl) -> Kubectl:
    """The namespace of the services once their policies hold."""
    install_chart(cluster)
    addresses = [Address("one.models.svc", 80), Address("two.models.svc", 80)]

    def hold() -> bool:
        written = {each["metadata"]["name"] for each in models.list("networkpolicies")}
        return {"one", "two"} <= written and tried(cluster, STRANGERS[0], addresses) == dict.fromkeys(
            addresses, "dropped"
        )

    until(hold, seconds=60, what="the policies to hold")
    return models


def answering(models: Kubectl, name: str, *, pods: int) -> Manifest:
    """Wait until all pods of the service are ready and it is available."""

    def settled() -> Manifest:
        resource = models.get("infsvc", name)
        state = condition(resource, "Available")
        ready = [condition(pod, "Ready")["status"] for pod in engine_pods(models, name)]
        if (state["status"], *ready) == ("True",) * (pods + 1):
            return resource
        raise NotYet(f"{ready}; {state['reason']}: {state['message']}")

    return until(settled, seconds=240, what=f"{name} to answer with {pods} pods", every=0.5)


def listening(models: Kubectl, service: str) -> dict[str, list[Address]]:
    """Every address at which a pod of the service takes connections from elsewhere, by the pod's name."""
    found = {}
    for pod in engine_pods(models, service):
        name, host = pod["metadata"]["name"], pod["status"]["podIP"]
        found[name] = [Address(host, port) for port in json.loads(models.exec_python(name, _LISTENING))]
    return found


def tried(cluster: Cluster, caller: Caller, addresses: list[Address]) -> dict[Address, str]:
    """`open`, `refused` or `dropped`, for a connection of the caller to each of the addresses."""
    kubectl = cluster.kubectl.in_namespace(caller.namespace)
    script = _CONNECT.format(addresses=[tuple(each) for each in addresses])
    return dict(zip(addresses, json.loads(kubectl.exec_python(caller.name, script)), strict=True))


def everything(models: Kubectl) -> list[Address]:
    pods = {**listening(models, "one"), **listening(models, "two")}
    return [
        Address("one.models.svc", 80),
        Address("two.models.svc", 80),
        *(each for addresses in pods.values() for each in addresses),
    ]


def test_without_policies_everybody_reaches_every_port(cluster: Cluster, models: Kubectl) -> None:
    ports = listening(models, "two")
    assert any(each.port != API for each in ports["two-0-0"]), "the ranks meet at a port of the first pod"

    addresses = everything(models)

    for caller in (CLIENT, *STRANGERS):
        assert tried(cluster, caller, addresses) == dict.fromkeys(addresses, "open")


def test_the_client_is_answered_by_one_pod_and_by_a_group(cluster: Cluster, isolated: Kubectl) -> None:
    client = cluster.kubectl.in_namespace(CLIENT.namespace)

    texts = [
        ask(client, service_url(isolated, name), QUESTION, model=name)["text"] for name in ("one", "two")
    ]

    assert texts[0] == texts[1] != ""


@pytest.mark.parametrize("caller", STRANGERS, ids=lambda caller: f"{caller.namespace}-{caller.name}")
def test_who_is_no_client_gets_no_connection(cluster: Cluster, isolated: Kubectl, caller: Caller) -> None:
    addresses = everything(isolated)

    assert tried(cluster, caller, addresses) == dict.fromkeys(addresses, "dropped")


def test_the_client_reaches_the_api_and_no_port_of_a_rank(cluster: Cluster, isolated: Kubectl) -> None:
    pods = {**listening(isolated, "one"), **listening(isolated, "two")}
    addresses = [each for found in pods.values() for each in found]

    expected = {each: "open" if each.port == API else "dropped" for each in addresses}

    assert tried(cluster, CLIENT, addresses) == expected
    assert all(each.port != API for each in pods["two-0-1"]), "the second pod of a group answers nobody"


def test_a_group_that_starts_anew_finds_its_members(cluster: Cluster, isolated: Kubectl) -> None:
    isolated.run("delete", "pod", "two-0-0", "two-0-1", "--grace-period=1")
    answering(isolated, "two", pods=2)

    client = cluster.kubectl.in_namespace(CLIENT.namespace)
    answers = [ask(client, service_url(isolated, name), QUESTION, model=name) for name in ("one", "two")]

    assert answers[0]["text"] == answers[1]["text"]


def test_the_operator_reads_the_engines_metrics(isolated: Kubectl) -> None:
    api = "/apis/custom.metrics.k8s.io/v1beta2/namespaces/models/inferenceservices.paddock.dev"

    def figures() -> list[str]:
        answers = [isolated.run("get", "--raw", f"{api}/{name}/requests_running") for name in ("one", "two")]
        return [each["value"] for answer in answers for each in json.loads(answer)["items"]]

    assert figures() == ["0m", "0m"]


def test_without_named_clients_everybody_may_ask_also_where_all_else_is_denied(
    cluster: Cluster, isolated: Kubectl
) -> None:
    isolated.apply(DENY_ALL, inference_service("one", cluster.model_uri))
    service = Address("one.models.svc", 80)
    [ports] = listening(isolated, "one").values()
    neighbour = Address(isolated.get("pod", "neighbour")["status"]["podIP"], 1)

    until(
        lambda: tried(cluster, STRANGERS[0], [service])[service] == "open",
        seconds=60,
        what="one to be open to everybody",
    )
    for caller in (CLIENT, *STRANGERS):
        expected = {each: "open" if each.port == API else "dropped" for each in ports}
        assert tried(cluster, caller, ports) == expected
    assert tried(cluster, CLIENT, [neighbour]) == {neighbour: "dropped"}
    assert tried(cluster, CLIENT, [Address("two.models.svc", 80)]) == {Address("two.models.svc", 80): "open"}
