"""Whatever happens to the operator, its API server or its objects: in the end the objects are those of a calm run.

The operator runs on this machine here, so that it can be killed at any moment and put behind a proxy that fails; the
one of the chart is away meanwhile. Pods ask for a node that does not exist: what is made counts, not what runs.
"""

import json
import random
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from api_proxy import ApiProxy, Mood
from children_of import children, comparable, orphans
from helm import install_chart
from installed import Cluster, said
from kubectl import Kubectl, Manifest
from local import command
from manifests import inference_service, namespace
from operator_process import OperatorProcess, operator_process
from waiting import NotYet, until

KILLS = 50
NAMES = tuple(f"s{number}" for number in range(6))
SHORT_OUTAGE, LONG_OUTAGE = 30, 300
"""Seconds. The short one is longer than the Lease (15 s) and its renew deadline (10 s) already: the operator gives up
leading and starts over. In the long one kopf's retries run out, and the back-off of ours is at its longest.
"""

FEW, MANY = 1, 16
"""Workers: with one others wait nearly always, and what can wait for theirs is made later."""

Specs = dict[str, Manifest]
PORTS = iter(range(18100, 18900))


def idle_service(name: str, *, length: int = 256, replicas: int = 1, unavailable: int = 1) -> Manifest:
    return inference_service(
        name,
        "file:///models/none",
        template={"nodeSelector": {"node": "none"}},
        model={"maxModelLen": length},
        rollout={"maxUnavailable": unavailable},
        replicas=replicas,
    )


@pytest.fixture(scope="module")
def unattended(bare_cluster: Cluster) -> Iterator[Cluster]:
    """The chart without an operator that runs, and without the API that it would serve."""
    install_chart(bare_cluster, "--set", "operator.replicas=0", "--set", "metricsApi.enabled=false")
    yield bare_cluster
    install_chart(bare_cluster)


@contextmanager
def new_namespace(cluster: Cluster) -> Iterator[Kubectl]:
    name = f"chaos-{random.randrange(16**6):06x}"
    cluster.kubectl.apply(namespace(name))
    yield cluster.kubectl.in_namespace(name)
    cluster.kubectl.run("delete", "namespace", name, "--wait=false")


@pytest.fixture
def space(unattended: Cluster) -> Iterator[Kubectl]:
    with new_namespace(unattended) as kubectl:
        yield kubectl


def run_operator(
    stack: ExitStack, space: Kubectl, kubeconfig: Path | None = None, workers: int = MANY
) -> OperatorProcess:
    """Another operator of this namespace; several of them share its Lease."""
    return stack.enter_context(
        operator_process(
            kubeconfig or space.kubeconfig,
            next(PORTS),
            f"--namespace={space.namespace}",
            f"--workers={workers}",
            environ={"PADDOCK_OPERATOR_NAMESPACE": space.namespace, "PADDOCK_LOG_LEVEL": "ERROR"},
        )
    )


@pytest.fixture
def operator(space: Kubectl) -> Iterator[OperatorProcess]:
    with ExitStack() as stack:
        yield run_operator(stack, space)


@contextmanager
def settled_behind_proxy(space: Kubectl, folder: Path) -> Iterator[tuple[OperatorProcess, ApiProxy, Specs]]:
    """An operator that reaches its API server through a proxy, and has made all of these resources."""
    specs = {name: idle_service(name) for name in NAMES}
    with ApiProxy(space.kubeconfig, folder) as proxy, ExitStack() as stack:
        operator = run_operator(stack, space, proxy.kubeconfig)
        space.apply(*specs.values())
        settled(space, specs)
        yield operator, proxy, specs


def leads(operator: OperatorProcess) -> bool:
    return operator.says("/livez").strip() == "ok: watching"


@pytest.fixture(scope="module")
def calm_runs() -> dict[str, list[str]]:
    """By the specs: several tests end with the same ones."""
    return {}


def calm_run(cluster: Cluster, specs: Specs, known: dict[str, list[str]]) -> list[str]:
    """What an operator makes of these resources when nothing disturbs it."""
    key = json.dumps(specs, sort_keys=True)
    if key not in known:
        known[key] = undisturbed(cluster, specs)
    return known[key]


def undisturbed(cluster: Cluster, specs: Specs) -> list[str]:
    with new_namespace(cluster) as space, ExitStack() as stack:
        run_operator(stack, space)
        if specs:
            space.apply(*specs.values())
        return settled(space, specs)


def settled(space: Kubectl, specs: Specs, seconds: float = 240) -> list[str]:
    """The children, once each resource is as wanted and all that belongs to deleted ones is gone."""

    def calm() -> list[str]:
        resources = {each["metadata"]["name"]: each for each in space.list("infsvc")}
        if set(resources) != set(specs):
            raise NotYet(f"resources {sorted(resources)}")
        for name, each in resources.items():
            status, wanted = each.get("status", {}), each["spec"]["replicas"]
            seen = status.get("observedGeneration"), status.get("replicas"), status.get("updatedReplicas")
            if seen != (each["metadata"]["generation"], wanted, wanted):
                raise NotYet(f"{name}: generation, replicas, updated {seen}, wanted {wanted}")
        if left := orphans(space):
            raise NotYet(f"orphans {left}")
        return comparable(space) or ["none"]

    return until(calm, seconds=seconds, what="all to be as wanted", every=1)


def change_something(space: Kubectl, specs: Specs, chance: random.Random) -> str:
    """Creates, edits or deletes one resource, and keeps `specs` in step."""
    name = chance.choice(NAMES)
    if name in specs and chance.random() < 0.3:
        del specs[name]
        space.run("delete", "infsvc", name, "--wait=false")
        return "delete"
    what = "update" if name in specs else "create"
    specs[name] = idle_service(
        name,
        length=chance.choice((256, 512, 768)),
        replicas=chance.randrange(4),
        unavailable=chance.randrange(1, 4),
    )
    space.apply(specs[name])
    return what


def free_lease(space: Kubectl) -> None:
    """As if its time were up: how long a takeover takes is proved elsewhere."""
    patch = '{"spec": {"holderIdentity": "", "leaseDurationSeconds": 1}}'
    space.run("patch", "lease", "paddock-operator", "--type=merge", "--patch", patch)


@pytest.mark.long
@pytest.mark.timeout(1500)
def test_an_operator_killed_at_any_moment_leaves_nothing_half_done(
    unattended: Cluster, space: Kubectl, calm_runs: dict[str, list[str]]
) -> None:
    chance, done = random.Random(6), {"create": 0, "update": 0, "delete": 0}
    specs: Specs = {}
    with ExitStack() as stack:
        pair = [run_operator(stack, space, workers=FEW), run_operator(stack, space)]
        for _ in range(KILLS):
            leader = until(lambda: next(filter(leads, pair), None), seconds=90, what="a leader")
            assert leader is not None
            for _ in range(2):
                done[change_something(space, specs, chance)] += 1
            # The moment is the point here, so this is no wait for a condition.
            time.sleep(2 * chance.random())
            leader.process.kill()
            leader.process.wait()
            free_lease(space)
            pair.remove(leader)
            pair.append(run_operator(stack, space, workers=chance.choice((FEW, MANY))))
        made = settled(space, specs)

    print(f"{KILLS} kills, {done}: {len(made)} objects, no orphan, no duplicate")
    assert made == calm_run(unattended, specs, calm_runs)


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("mood", "seconds"),
    [
        (Mood.REFUSED, SHORT_OUTAGE),
        (Mood.UNAVAILABLE, SHORT_OUTAGE),
        (Mood.CONFLICT, 0),
        (Mood.REFUSED, LONG_OUTAGE),
        (Mood.UNAVAILABLE, LONG_OUTAGE),
    ],
    ids=["refused", "unavailable", "conflict", "refused-for-long", "unavailable-for-long"],
)
def test_an_api_server_in_trouble_is_outlived(
    unattended: Cluster,
    space: Kubectl,
    tmp_path: Path,
    mood: Mood,
    seconds: int,
    calm_runs: dict[str, list[str]],
) -> None:
    with settled_behind_proxy(space, tmp_path) as (operator, proxy, specs):
        proxy.become(mood)
        change_meanwhile(space, specs)
        if seconds:
            outlast(operator, seconds)
            proxy.become(Mood.FAITHFUL)

        ended = time.monotonic()
        made = settled(space, specs)
        caught_up = time.monotonic() - ended
        assert operator.process.poll() is None
    print(
        f"{mood.value} (outage of {seconds} s), {proxy.answered} made-up answers: {len(made)} objects as in a calm run, "
        f"{caught_up:.0f} s later"
    )
    assert made == calm_run(unattended, specs, calm_runs)


def change_meanwhile(space: Kubectl, specs: Specs) -> None:
    """Deletes, edits and creates what the operator cannot see now; `specs` keep in step."""
    del specs["s0"]
    space.run("delete", "infsvc", "s0", "--wait=false")
    space.run("delete", "statefulset", "s1-0")
    space.run("delete", "service/s2", "networkpolicy/s2")
    specs |= {"s3": idle_service("s3", length=512, replicas=2), "new": idle_service("new")}
    space.apply(specs["s3"], specs["new"])


def outlast(operator: OperatorProcess, seconds: int) -> None:
    """The outage, in which the operator stays alive."""
    with pytest.raises(TimeoutError):
        until(
            lambda: operator.process.poll() is not None or not operator.says("/livez").startswith("ok"),
            seconds=seconds,
            what="the end of the operator",
            every=1,
        )


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_compacted_etcd_is_lived_through(
    unattended: Cluster, space: Kubectl, tmp_path: Path, calm_runs: dict[str, list[str]]
) -> None:
    with settled_behind_proxy(space, tmp_path) as (operator, proxy, specs):
        seen = space.get("infsvc", "s0")["metadata"]["resourceVersion"]

        proxy.become(Mood.REFUSED)
        change_meanwhile(space, specs)
        left = command(space.kubeconfig.parent.name, "compact")
        proxy.become(Mood.FAITHFUL)

        past = (
            f"/api/v1/namespaces/{space.namespace}/services?resourceVersion={seen}&resourceVersionMatch=Exact"
        )
        assert "Expired" in space.try_run("get", "--raw", past).stderr
        made = settled(space, specs)
        assert operator.process.poll() is None
    print(f"all revisions before {left} gone: {len(made)} objects as in a calm run")
    assert made == calm_run(unattended, specs, calm_runs)


@pytest.mark.long
def test_deletions_that_no_watch_showed_are_noticed(
    unattended: Cluster, space: Kubectl, tmp_path: Path
) -> None:
    with settled_behind_proxy(space, tmp_path) as (_, proxy, _):
        before = comparable(space)
        proxy.become(Mood.FORGETFUL)
        space.run("delete", "statefulset", "s1-0")
        space.run("delete", "service", "s2")
        space.run("delete", "networkpolicy", "--all")
        space.run("delete", "poddisruptionbudget", "--all")
        proxy.become(Mood.FAITHFUL)

        until(lambda: comparable(space) == before, seconds=60, what="everything to be restored", every=1)


@pytest.mark.long
def test_replicas_stay_as_scaled_through_edits_and_a_restart(space: Kubectl) -> None:
    specs = {"s0": idle_service("s0")}
    with ExitStack() as stack:
        operator = run_operator(stack, space)
        space.apply(specs["s0"])
        settled(space, specs)
        space.run("scale", "infsvc/s0", "--replicas=3")
        specs["s0"]["spec"]["replicas"] = 3
        settled(space, specs)
        groups = identities(space)

        edit_in_place(space, "s0")
        settled(space, specs)
        operator.process.kill()
        operator.process.wait()
        free_lease(space)
        following = run_operator(stack, space)
        until(lambda: leads(following), seconds=60, what="the next operator to lead")
        edit_in_place(space, "s0")
        settled(space, specs)

        assert space.get("infsvc", "s0")["spec"]["replicas"] == 3
        assert len(groups) == 3
        assert identities(space) == groups


def identities(space: Kubectl) -> list[tuple[str, int]]:
    """Uid and generation of each StatefulSet: one that was made anew or written in between has others."""
    found = [each["metadata"] for each in space.list("statefulsets")]
    return sorted((each["uid"], each["generation"]) for each in found)


def edit_in_place(space: Kubectl, name: str) -> None:
    """Of what rolls no pod, so that there is a pass over a new generation."""
    surge = space.get("infsvc", name)["spec"]["rollout"].get("maxSurge", 0) + 1
    patch = json.dumps({"spec": {"rollout": {"maxSurge": surge}}})
    space.run("patch", f"infsvc/{name}", "--type=merge", "--patch", patch)


@pytest.mark.long
def test_hand_edits_are_undone_and_what_others_added_stays(space: Kubectl, operator: OperatorProcess) -> None:
    specs = {"s0": idle_service("s0")}
    space.apply(*specs.values())
    before = settled(space, specs)

    space.run("label", "service", "s0", "team=a")
    space.run("annotate", "statefulset", "s0-0", "note=kept")
    with_foreign = comparable(space)
    edits = {
        "service/s0": '{"spec": {"selector": {"paddock.dev/service": "other"}}}',
        "statefulset/s0-0": '{"spec": {"template": {"spec": {"enableServiceLinks": true}}}}',
        "poddisruptionbudget/s0-pods": '{"spec": {"maxUnavailable": 7}}',
        "networkpolicy/s0": '{"spec": {"ingress": []}}',
        "serviceaccount/s0-pods": '{"metadata": {"labels": {"paddock.dev/service": null}}}',
    }
    for name, patch in edits.items():
        space.run("patch", name, "--type=merge", "--patch", patch)
        until(lambda: comparable(space) == with_foreign, seconds=30, what=f"{name} to be restored")
    for each in children(space):
        space.run("delete", each["kind"], each["metadata"]["name"], "--wait=false")
    until(lambda: comparable(space) == before, seconds=30, what="every child to be made again")

    print(f"{len(edits)} edits undone and {len(before)} children made again, each within 30 s")


@pytest.mark.long
def test_what_belongs_to_others_is_not_taken_over(space: Kubectl, operator: OperatorProcess) -> None:
    theirs = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "s0"},
        "spec": {"selector": {"app": "theirs"}, "ports": [{"port": 80}]},
    }
    space.apply(theirs)
    before = space.get("service", "s0")

    space.apply(idle_service("s0"))
    said(space, "s0", "Degraded", "True", "NameTaken", "Service s0")

    assert space.get("service", "s0") == before
    space.run("delete", "service", "s0")
    settled(space, {"s0": idle_service("s0")})


@pytest.mark.long
@pytest.mark.parametrize("gone", [False, True], ids=["operator-at-work", "operator-gone"])
def test_no_namespace_waits_for_the_operator_to_go(unattended: Cluster, gone: bool) -> None:
    with new_namespace(unattended) as space, ExitStack() as stack:
        operator = run_operator(stack, space)
        specs = {name: idle_service(name, replicas=2) for name in NAMES}
        space.apply(*specs.values())
        settled(space, specs)
        if gone:
            operator.process.kill()
            operator.process.wait()

        assert not any("finalizers" in each["metadata"] for each in (*space.list("infsvc"), *children(space)))
        space.run("delete", "infsvc", "s0", "--wait=false")
        until(
            lambda: not space.list("statefulsets,services", "paddock.dev/service=s0"),
            seconds=60,
            what="the children of a deleted resource to go",
        )
        space.run("delete", "namespace", space.namespace, "--timeout=60s")
        unattended.kubectl.apply(namespace(space.namespace))
