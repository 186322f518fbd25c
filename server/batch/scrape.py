"""--enable-metrics: the metrics of the batch's server on a TCP port."""

import contextlib
from collections.abc import AsyncIterator

import aiohttp
from aiohttp import web

from paddock.server.batch.errors import BatchError

PATH = "/metrics"


@contextlib.asynccontextmanager
async def metrics_on(host: str, port: int, session: aiohttp.ClientSession) -> AsyncIterator[None]:
    """Answer GET /metrics while inside. Raises BatchError when the port is taken."""

    async def metrics(_: web.Request) -> web.Response:
        try:
            async with session.get(PATH) as reply:
                headers = {"content-type": reply.headers.get("content-type", "text/plain")}
                return web.Response(body=await reply.read(), status=reply.status, headers=headers)
        except (aiohttp.ClientError, OSError):
            return web.Response(status=503, text="the engine is loading the model\n")

    app = web.Application()
    app.router.add_get(PATH, metrics)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        await runner.cleanup()
        raise BatchError(
            f"--port {port} cannot be bound on --url {host}: {error.strerror or error}"
        ) from None
    try:
        yield
    finally:
        await runner.cleanup()
