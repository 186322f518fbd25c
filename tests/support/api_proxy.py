"""A proxy before the API server that fails as one is told to, for an operator that runs on this machine."""

import asyncio
import json
import threading
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

import aiohttp
import yaml
from aiohttp import web

from paddock.operator.login import from_kubeconfig, open_session

_PASSED_ON = ("Content-Type", "Accept")
_GONE = {
    "type": "ERROR",
    "object": {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"},
}


class Mood(StrEnum):
    """What it does with requests."""

    FAITHFUL = "faithful"
    REFUSED = "connections are refused"
    UNAVAILABLE = "every answer is 503"
    CONFLICT = "every second write is a conflict"
    FORGETFUL = "every watch has expired"


class ApiProxy:
    """Use as a context manager; `kubeconfig` then leads to it. `answered` counts failures that it made up."""

    def __init__(self, cluster: Path, folder: Path) -> None:
        self._credentials = from_kubeconfig(cluster)
        self.kubeconfig = folder / "proxy.conf"
        self.answered = 0
        self._mood = Mood.FAITHFUL
        self._open: set[asyncio.Transport] = set()
        self._writes = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._runner: web.AppRunner | None = None
        self._port = 0

    def __enter__(self) -> Self:
        self._thread.start()
        self._call(self._start())
        entry = {"server": f"http://127.0.0.1:{self._port}"}
        named = {"clusters": [{"name": "p", "cluster": entry}], "users": [{"name": "p", "user": {}}]}
        context = {"contexts": [{"name": "p", "context": {"cluster": "p", "user": "p"}}]}
        self.kubeconfig.write_text(yaml.safe_dump({**named, **context, "current-context": "p"}))
        return self

    def __exit__(self, *_: object) -> None:
        self._call(self._stop())
        self._call(self._session.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def become(self, mood: Mood) -> None:
        """From now on; connections that are open are cut."""
        self._call(self._become(mood))

    def _call(self, work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    async def _start(self) -> None:
        if not self._port:
            self._session = open_session(self._credentials, lambda *_: None)
        app = web.Application(client_max_size=1 << 24)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port, reuse_address=True)
        await site.start()
        self._port = self._runner.addresses[0][1]

    async def _stop(self) -> None:
        self._cut()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _become(self, mood: Mood) -> None:
        self._mood = mood
        self._cut()
        if mood == Mood.REFUSED:
            await self._stop()
        elif self._runner is None:
            await self._start()

    def _cut(self) -> None:
        for transport in self._open:
            transport.abort()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        transport = request.transport
        assert transport is not None
        self._open.add(transport)
        try:
            return self._failure(request) or await self._forward(request)
        finally:
            self._open.discard(transport)

    def _failure(self, request: web.Request) -> web.Response | None:
        """What it makes up, if anything."""
        is_write = request.method != "GET" and "leases" not in request.path
        self._writes += is_write
        code, text = 0, ""
        if self._mood == Mood.UNAVAILABLE:
            code = 503
        elif self._mood == Mood.CONFLICT and is_write and self._writes % 2:
            code = 409
        elif self._mood == Mood.FORGETFUL and "watch" in request.query:
            code, text = 200, json.dumps(_GONE) + "\n"
        if not code:
            return None
        self.answered += 1
        status = {"kind": "Status", "code": code, "reason": "MadeUp", "message": self._mood.value}
        return web.Response(status=code, text=text or json.dumps(status), content_type="application/json")

    async def _forward(self, request: web.Request) -> web.StreamResponse:
        headers = {name: request.headers[name] for name in _PASSED_ON if name in request.headers}
        url = f"{self._credentials.server}{request.path_qs}"
        body = await request.read() or None  # an empty body would get a type of its own, which is refused
        timeout = aiohttp.ClientTimeout(total=None)
        async with self._session.request(
            request.method, url, data=body, headers=headers, timeout=timeout
        ) as answer:
            response = web.StreamResponse(status=answer.status)
            response.content_type = answer.content_type
            await response.prepare(request)
            with suppress(ConnectionResetError):  # cut by us, or the operator is gone
                async for chunk in answer.content.iter_any():
                    await response.write(chunk)
            return response
