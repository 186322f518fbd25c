"""What counts as alive and as ready, and the pages that say so."""

import asyncio

import aiohttp
import pytest

from paddock.operator.health import application, is_alive, is_ready, serve
from paddock.operator.metrics import Metrics, Vitals


def vitals(**changes: object) -> Vitals:
    found = Vitals(state="watching", last_watch_request=1000.0, last_tick=1000.0)
    for name, value in changes.items():
        setattr(found, name, value)
    return found


def test_a_watching_operator_is_alive_and_ready() -> None:
    assert is_alive(vitals(), 1001) == (True, "ok: watching")
    assert is_ready(vitals(), 1001)[0]


def test_a_stuck_event_loop_is_not_alive() -> None:
    alive, text = is_alive(vitals(last_watch_request=1050.0), 1031)
    assert not alive
    assert "31 s" in text


def test_a_watch_that_went_silent_is_not_alive() -> None:
    assert not is_alive(vitals(last_tick=3000.0), 3000)[0]


@pytest.mark.parametrize("state", ["standby", "waiting for the CRD"])
def test_an_operator_that_need_not_watch_may_be_silent(state: str) -> None:
    quiet = vitals(state=state, last_tick=9000.0)
    assert is_alive(quiet, 9000)[0]
    assert is_ready(quiet, 9000)[0]


def test_a_starting_operator_is_not_ready() -> None:
    assert not is_ready(Vitals(), 0)[0]


def test_the_pages_answer() -> None:
    async def scene() -> tuple[int, int, str]:
        state = Vitals()
        metrics = Metrics(state)
        metrics.requested("GET", 200, "/api/v1/pods")
        metrics.follow_queue(lambda: 3, lambda: 0.5)
        runner = await serve(application(state, metrics), "127.0.0.1", 0)
        base = f"http://127.0.0.1:{runner.addresses[0][1]}"
        async with aiohttp.ClientSession() as session:
            live, ready = await session.get(f"{base}/livez"), await session.get(f"{base}/readyz")
            text = await (await session.get(f"{base}/metrics")).text()
        await runner.cleanup()
        return live.status, ready.status, text

    live, ready, text = asyncio.run(scene())
    assert (live, ready) == (200, 503)
    assert 'paddock_operator_api_requests_total{code="200",resource="pods",verb="GET"} 1.0' in text
    assert "paddock_operator_queue_depth 3.0" in text
