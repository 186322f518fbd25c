"""Of several operators one acts at a time, whatever happens to it; and one that serves some namespaces needs no more."""

import os
import signal
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Thread

import pytest
from audit import AuditLog
from helm import SYSTEM_NAMESPACE, install_chart
from installed import Cluster, said
from kubectl import Kubectl, Manifest
from manifests import inference_service, namespace
from waiting import until

OPERATOR = f"{SYSTEM_NAMESPACE}:paddock-operator"
TAKEOVER_SECONDS = 20
SERVICES = 8


def idle_service(name: str, uri: str, length: int) -> Manifest:
    """Its pods ask for a node that does not exist, so nothing runs."""
    template = {"nodeSelector": {"node": "none"}}
    return inference_service(name, uri, template=template, model={"maxModelLen": length})


@pytest.fixture
def two_operators(cluster: Cluster) -> Iterator[Kubectl]:
    install_chart(cluster, "--set", "operator.replicas=2")
    yield cluster.kubectl.in_namespace(SYSTEM_NAMESPACE)
    install_chart(cluster)


@pytest.fixture
def churn(cluster: Cluster, models: Kubectl) -> Iterator[None]:
    """Services that are edited without a pause, so that whoever leads has something to write."""
    stop = Event()

    def edit() -> None:
        length = 256
        while not stop.is_set():
            length = 256 + (length + 1) % 256
            models.apply(*(idle_service(f"s{i}", cluster.model_uri, length) for i in range(SERVICES)))

    thread = Thread(target=edit)
    thread.start()
    yield
    stop.set()
    thread.join()


def holder(system: Kubectl) -> str:
    """Name of the pod that holds the Lease."""
    spec = system.get("lease", "paddock-operator")["spec"]
    return str(spec.get("holderIdentity") or "").partition("_")[0]


def process_of(pod: str) -> int:
    """The operator's process on this machine, which sees those of the nodes."""
    wanted = f"PADDOCK_OPERATOR_POD_NAME={pod}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if wanted in (folder / "environ").read_bytes().split(b"\0"):
                return int(folder.name)
        except OSError:
            continue
    raise LookupError(f"no process of pod {pod}")


def taken_over(system: Kubectl, happen: Callable[[str], None], what: str) -> None:
    """Another pod leads soon after something happens to the leader."""
    until(lambda: len(system.list("pods")) == 2 and holder(system), seconds=60, what="two operators")
    leader, started = holder(system), datetime.now(UTC)
    happen(leader)
    until(lambda: holder(system) not in ("", leader), seconds=TAKEOVER_SECONDS, what="a takeover")
    acquired = datetime.fromisoformat(system.get("lease", "paddock-operator")["spec"]["acquireTime"])
    print(f"{what}: another leads {(acquired - started).total_seconds():.1f} s after")


def restarted(system: Kubectl, pod: str, *how: str) -> None:
    system.run("delete", "pod", pod, "--wait=false", *how)


def by_term(log: AuditLog) -> list[int]:
    """How often each leader wrote in its term. Nobody else ever did."""
    leader, writes = "", list[int]()
    for each in log.of(OPERATOR):
        if not each.is_write or each.code >= 300:
            continue
        if each.resource == "leases":
            if each.pod != leader:
                writes.append(0)
            leader = each.pod
        elif leader:
            assert each.pod == leader, f"{each} while {leader} leads"
            writes[-1] += 1
    return writes


@pytest.mark.long
def test_never_two_operators_write_and_a_lost_one_is_soon_replaced(
    cluster: Cluster, two_operators: Kubectl, models: Kubectl, churn: None
) -> None:
    system, log = two_operators, AuditLog(cluster)

    taken_over(system, lambda pod: restarted(system, pod), "told to stop")
    taken_over(system, lambda pod: os.kill(process_of(pod), signal.SIGKILL), "killed")
    frozen = process_of(holder(system))
    taken_over(system, lambda _: os.kill(frozen, signal.SIGSTOP), "frozen")
    os.kill(frozen, signal.SIGCONT)
    taken_over(system, lambda pod: restarted(system, pod, "--force", "--grace-period=0"), "removed by force")

    terms = until(lambda: by_term(log) if len(by_term(log)) >= 5 else None, seconds=60, what="five terms")
    assert terms is not None
    print(f"writes in each of {len(terms)} terms, all by who led: {terms}")
    assert sum(terms) > 0


@pytest.mark.long
def test_an_operator_of_some_namespaces_needs_no_cluster_role(cluster: Cluster, models: Kubectl) -> None:
    elsewhere = cluster.kubectl.in_namespace(f"{models.namespace}-not")
    cluster.kubectl.apply(namespace(elsewhere.namespace))
    try:
        install_chart(cluster, "--set", f"operator.watchNamespaces={{{models.namespace}}}")
        log = AuditLog(cluster)
        for each in (elsewhere, models):
            each.apply(idle_service("tiny", cluster.model_uri, 256))
        said(models, "tiny", "Degraded", "True", "Unschedulable")

        roles = cluster.kubectl.list("clusterroles", "app.kubernetes.io/component=operator")
        assert "paddock-operator" not in {each["metadata"]["name"] for each in roles}
        asked = log.of(OPERATOR)
        assert {each.namespace for each in asked} <= {models.namespace, SYSTEM_NAMESPACE, "kube-system", ""}
        assert [each for each in asked if each.code == 403] == []
        assert "status" not in elsewhere.get("infsvc", "tiny")
    finally:
        install_chart(cluster)
    said(elsewhere, "tiny", "Accepted", "True")
    cluster.kubectl.run("delete", "namespace", elsewhere.namespace, "--wait=false")
