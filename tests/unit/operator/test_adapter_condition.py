"""AdaptersReady: which adapter is loaded where, and what failed."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import aiohttp
from serving import free_port

from paddock.operator.adapter_condition import adapter_problems, adapters_ready
from paddock.operator.adapter_reports import AdapterReport, adapter_reports, awaits_adapters
from paddock.operator.plan.blueprint import Blueprint
from paddock.operator.snapshot import Pod, Snapshot
from paddock.server.fetch.teller import Teller

MakeBlueprint = Callable[..., Blueprint]
LIST = [{"name": "sql", "uri": "hf://team/sql"}]
METRICS = "http://10.0.0.1:8000/metrics"


def report(blueprint: Blueprint, state: str, message: str = "") -> tuple[AdapterReport, ...]:
    assert blueprint.fetched
    return tuple(
        AdapterReport(each["name"], each["entry"], state, message) for each in blueprint.fetched.wanted
    )


def seen(blueprint: Blueprint, make_pod: Callable[..., Pod], *reports: tuple[AdapterReport, ...]) -> Snapshot:
    pods = tuple(make_pod(index, blueprint.revision, metrics=METRICS) for index in range(len(reports)))
    return Snapshot(
        blueprint.service,
        {},
        pods,
        adapters={pod.name: told for pod, told in zip(pods, reports, strict=True)},
    )


def test_it_says_where_all_are_loaded(make_blueprint: MakeBlueprint, make_pod: Callable[..., Pod]) -> None:
    blueprint = make_blueprint(lora={"adapters": LIST})
    loaded = report(blueprint, "Loaded")

    condition = adapters_ready(seen(blueprint, make_pod, loaded, loaded), blueprint)

    assert condition == ("True", "Loaded", "sql loaded on qwen3-0-0, qwen3-1-0")


def test_it_says_which_pod_lacks_one_and_how_far_that_is(
    make_blueprint: MakeBlueprint, make_pod: Callable[..., Pod]
) -> None:
    blueprint = make_blueprint(lora={"adapters": LIST})
    half = report(blueprint, "Fetching", "downloading: 1 MB of 2 MB (50 %)")

    condition = adapters_ready(seen(blueprint, make_pod, report(blueprint, "Loaded"), half), blueprint)

    assert condition is not None
    assert condition[0] == "Unknown"
    assert condition[2] == "sql on 1 of 2 pods (qwen3-1-0: downloading: 1 MB of 2 MB (50 %))"


def test_a_failure_is_named_with_its_pod_and_one_that_is_wanted_no_more_is_not(
    make_blueprint: MakeBlueprint, make_pod: Callable[..., Pod]
) -> None:
    blueprint = make_blueprint(lora={"adapters": LIST})
    failed = seen(blueprint, make_pod, report(blueprint, "Failed", "r is 64"))
    other = make_blueprint(lora={"adapters": [{"name": "b", "uri": "hf://team/b"}]})

    condition = adapters_ready(failed, blueprint)

    assert condition == ("False", "AdapterFailed", "qwen3-0-0: sql: r is 64")
    assert [problem.reason for problem in adapter_problems(failed.adapters)] == ["AdapterFailed"]
    found = adapters_ready(failed, other)
    assert found is not None
    assert found[0] == "Unknown"


def test_a_service_whose_adapters_are_mounted_has_no_such_condition(make_blueprint: MakeBlueprint) -> None:
    blueprint = make_blueprint(lora={"adapters": [{"name": "sql", "uri": "pvc://weights/sql"}]})

    assert adapters_ready(Snapshot(blueprint.service), blueprint) is None


def pod(port: int) -> dict[str, Any]:
    keeper = {"name": "adapters", "ports": [{"containerPort": port}]}
    wanted = json.dumps([{"name": "sql", "entry": "sql-1"}])
    return {
        "metadata": {
            "name": "qwen3-0-0",
            "labels": {"apps.kubernetes.io/pod-index": "0"},
            "annotations": {"paddock.dev/adapters": wanted},
        },
        "spec": {"initContainers": [keeper], "containers": [{"name": "server"}]},
        "status": {"podIP": "127.0.0.1"},
    }


def asked(pod: dict[str, Any]) -> dict[str, tuple[AdapterReport, ...]]:
    async def ask() -> dict[str, tuple[AdapterReport, ...]]:
        async with aiohttp.ClientSession() as session:
            return await adapter_reports(session, [pod])

    return asyncio.run(ask())


def test_pods_are_asked_and_awaited_until_they_say_loaded() -> None:
    row = {"name": "sql", "entry": "sql-1", "state": "Loaded", "message": "a\nb"}
    port = free_port()
    with Teller(port, lambda: json.dumps([row])):
        reports = asked(pod(port))

    assert reports == {"qwen3-0-0": (AdapterReport("sql", "sql-1", "Loaded", "ab"),)}
    assert not awaits_adapters([pod(port)], reports)
    assert awaits_adapters([pod(port)], {})


def test_a_page_of_somebody_else_tells_nothing() -> None:
    port = free_port()
    for text in ("", "{}", "[1]", '[{"name": "sql"}]', "[" * 10_000):
        with Teller(port, lambda text=text: text):  # type: ignore[misc]
            assert asked(pod(port)) == {}
