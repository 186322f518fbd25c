"""HTTP on port 8080: /livez, /readyz, /metrics. No secrets, so no authentication."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from aiohttp import web

from paddock.operator.metrics import Metrics, Vitals

TICK_SECONDS = 1.0
STUCK_SECONDS = 30.0
SILENT_SECONDS = 1200.0
"""A watch is asked for again every 5 min at the latest, also when nothing happens (see watch.settings)."""


def is_alive(vitals: Vitals, now: float) -> tuple[bool, str]:
    """Whether a restart would not help. An API server that is away is no reason to restart."""
    if now - vitals.last_tick > STUCK_SECONDS:
        return False, f"the event loop has been stuck for {now - vitals.last_tick:.0f} s"
    silent = now - vitals.last_watch_request
    if vitals.state == "watching" and silent > SILENT_SECONDS:
        return False, f"no watch was asked for since {silent:.0f} s"
    return True, f"ok: {vitals.state}"


def is_ready(vitals: Vitals, now: float) -> tuple[bool, str]:
    """Whether this process does its part: it watches, or it stands by for the one that does."""
    return vitals.state in ("watching", "standby", "waiting for the CRD"), vitals.state


async def keep_time(vitals: Vitals) -> None:
    """Measures how late the event loop is, for ever."""
    while True:
        started = time.monotonic()
        await asyncio.sleep(TICK_SECONDS)
        vitals.last_tick = time.monotonic()
        vitals.lag = vitals.last_tick - started - TICK_SECONDS


Check = Callable[[Vitals, float], tuple[bool, str]]


def application(vitals: Vitals, metrics: Metrics) -> web.Application:
    def answering(check: Check) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def answer(_: web.Request) -> web.Response:
            good, text = check(vitals, time.monotonic())
            return web.Response(text=text + "\n", status=200 if good else 503)

        return answer

    async def show_metrics(_: web.Request) -> web.Response:
        return web.Response(
            body=metrics.text(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        )

    app = web.Application()
    app.router.add_get("/livez", answering(is_alive))
    app.router.add_get("/readyz", answering(is_ready))
    app.router.add_get("/metrics", show_metrics)
    return app


async def serve(app: web.Application, host: str, port: int) -> web.AppRunner:
    """Listens; the caller cleans the runner up. Raises OSError when the port is taken."""
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    return runner
