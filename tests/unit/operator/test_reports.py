"""A replica's own report completes the plan, asked for beside the passes and no more often than it takes."""

import asyncio
import dataclasses
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from paddock.operator.plan.blueprint import Blueprint
from paddock.operator.reports import Reports, read_report
from paddock.operator.resource import InferenceService
from paddock.operator.snapshot import Pod, Snapshot
from paddock.operator.status import status

Blueprints = Callable[..., Blueprint]
Pods = Callable[..., Pod]
PAGE = """\
# TYPE paddock:model_weight_bytes gauge
paddock:model_weight_bytes{engine="0",model_name="m"} 1.2e+09
paddock:model_weight_bytes{engine="1",model_name="m"} 1.2e+09
# TYPE paddock:kv_cache_bytes_per_token gauge
paddock:kv_cache_bytes_per_token{engine="0",model_name="m"} 114688.0
# TYPE vllm:cache_config_info gauge
vllm:cache_config_info{engine="0",block_size="16",num_gpu_blocks="100"} 1.0
vllm:cache_config_info{engine="1",block_size="16",num_gpu_blocks="100"} 1.0
"""
FIGURES = {"weightBytes": 1_200_000_000, "kvBytesPerToken": 114_688, "kvTokensPerReplica": 3200}


def test_the_caches_of_all_engines_are_added_up() -> None:
    assert read_report(PAGE) == FIGURES


def test_a_page_without_the_figures_is_no_report() -> None:
    with pytest.raises(KeyError):
        read_report("# TYPE a gauge\na 1.0\n")


@pytest.fixture
def seen(make_blueprint: Blueprints, make_pod: Pods) -> Snapshot:
    """A ready pod of the present revision, and a status that was written before it loaded."""
    blueprint = make_blueprint()
    snapshot = Snapshot(blueprint.service, pods=(make_pod(0, blueprint.revision),))
    written = status(snapshot, blueprint, "2026-01-01T00:00:00Z")
    return dataclasses.replace(snapshot, service=dataclasses.replace(blueprint.service, status=written))


def completed(seen: Snapshot, page: str, passes: int = 3) -> tuple[InferenceService, int, int]:
    """The service after so many passes, each after the answer to the one before; how often was asked, and told."""
    asked: list[str] = []
    told: list[Any] = []

    async def metrics(request: web.Request) -> web.StreamResponse:
        asked.append(request.path)
        answer = web.StreamResponse()
        await answer.prepare(request)
        for line in page.splitlines(keepends=True):
            # Each in a segment of its own, as a long page comes.
            await answer.write(line.encode())
            await asyncio.sleep(0.002)
        return answer

    async def run() -> InferenceService:
        app = web.Application()
        app.router.add_get("/metrics", metrics)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/metrics"
        pods = tuple(dataclasses.replace(pod, metrics=url) for pod in seen.pods)
        async with aiohttp.ClientSession() as session:
            reports = Reports(session, told.append, pauses=(0, 0, 0))
            for _ in range(passes):
                service = reports.complete(dataclasses.replace(seen, pods=pods))
                await asyncio.gather(*reports._tasks.values())
        await runner.cleanup()
        return service

    return asyncio.run(run()), len(asked), len(told)


def test_the_first_pass_does_not_wait_and_the_next_has_the_answer(seen: Snapshot) -> None:
    assert completed(seen, PAGE, passes=1)[0] is seen.service
    service, asked, told = completed(seen, PAGE, passes=2)
    plan = service.status["plan"]
    assert plan == {**plan, **FIGURES}
    assert plan["basis"] == f"reported by pod qwen3-0-0 of revision {seen.pods[0].revision}"
    assert (asked, told) == (1, 1)


def test_a_report_that_the_status_holds_is_not_asked_for_again(
    seen: Snapshot, make_blueprint: Blueprints
) -> None:
    service, _, _ = completed(seen, PAGE, passes=2)
    blueprint = make_blueprint(status=service.status)
    assert blueprint.memory == service.status["plan"]
    kept, asked, _ = completed(dataclasses.replace(seen, service=service), PAGE)
    assert kept is service
    assert asked == 0


def test_a_pod_that_tells_nothing_is_asked_a_few_times_only(seen: Snapshot) -> None:
    service, asked, told = completed(seen, "nothing 1\n", passes=2)
    assert service is seen.service
    assert (asked, told) == (3, 0)


@pytest.mark.parametrize("change", [{"ready": False}, {"revision": "old"}])
def test_a_pod_that_does_not_serve_the_present_spec_is_not_asked(
    seen: Snapshot, change: dict[str, Any]
) -> None:
    other = tuple(dataclasses.replace(pod, **change) for pod in seen.pods)
    assert completed(dataclasses.replace(seen, pods=other), PAGE)[1] == 0
