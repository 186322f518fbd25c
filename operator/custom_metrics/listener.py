"""Serves the custom metrics API for as long as the operator runs, leading or standing by."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import aiohttp
from aiohttp import web

from paddock.operator.client import Api, ApiError
from paddock.operator.custom_metrics.api import application
from paddock.operator.custom_metrics.front_proxy import CONFIG_MAP, NAMESPACE, FrontProxy
from paddock.operator.custom_metrics.scraper import Scraper

logger = logging.getLogger(__name__)

_LOOK_AGAIN_SECONDS = 60.0


async def serve_custom_metrics(api: Api, certificates: Path, host: str, port: int) -> None:
    """Until cancelled. The front proxy's authority is looked at each minute: clusters rotate it."""
    async with aiohttp.ClientSession() as session:
        scraper = Scraper(api, session)
        serving: FrontProxy | None = None
        runner: web.AppRunner | None = None
        try:
            while True:
                found = await _front_proxy(api)
                if found is not None and found != serving:
                    if runner is not None:
                        await runner.cleanup()
                    runner = await _listen(found, scraper, certificates, host, port)
                    serving = found
                await asyncio.sleep(_LOOK_AGAIN_SECONDS if serving else 5.0)
        finally:
            if runner is not None:
                await runner.cleanup()


async def _listen(
    front_proxy: FrontProxy, scraper: Scraper, certificates: Path, host: str, port: int
) -> web.AppRunner:
    runner = web.AppRunner(application(front_proxy, scraper.value), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, host, port, ssl_context=front_proxy.context(certificates)).start()
    logger.info("serving custom.metrics.k8s.io on port %d", port)
    return runner


async def _front_proxy(api: Api) -> FrontProxy | None:
    try:
        found = FrontProxy.of(await api.get("ConfigMap", NAMESPACE, CONFIG_MAP))
    except (ApiError, aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
        logger.warning("ConfigMap %s/%s cannot be read: %s", NAMESPACE, CONFIG_MAP, error or "timeout")
        return None
    if found is None:
        logger.warning("the API server has no front proxy set up, so that no autoscaler can ask for metrics")
    return found
