"""The process of `paddock serve`: engine up, API up, drain, down."""

import asyncio
import logging
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

from paddock.engine.config import ServeConfig
from paddock.engine.data_parallel.engines import Engines
from paddock.engine.data_parallel.head import Head
from paddock.engine.data_parallel.replicas import Replicas
from paddock.engine.private_folder import private_folder
from paddock.server.api_server import POLL_SECONDS, ApiServer
from paddock.server.fleet import Fleet
from paddock.server.listener import Listeners
from paddock.server.open_files import allow_many_connections
from paddock.server.startup import Assets, StartError

logger = logging.getLogger("paddock.server")


def run_server(config: ServeConfig, assets: Assets, listeners: Listeners) -> int:
    """Serve until a signal or a failure; the exit status of the process. Raises StartError."""
    allow_many_connections()
    with asyncio.Runner(loop_factory=new_loop) as runner:
        return runner.run(_run(config, assets, listeners))


async def _run(config: ServeConfig, assets: Assets, listeners: Listeners) -> int:
    signals = Signals()
    engines = await asyncio.to_thread(_start_engines, config, assets.model_path)
    try:
        addresses = await _addresses(engines, signals)
        if addresses is None:
            return 0
        serve = _serve_here if len(listeners.sockets) == 1 else _serve_by_many
        return await serve(config, assets, listeners, engines, addresses, signals)
    finally:
        await asyncio.to_thread(engines.stop)


def _start_engines(config: ServeConfig, model_path: Path) -> Engines | Head:
    """The engines of this command; where other nodes run some, the place where these meet. Raises SettingsError."""
    replicas = Replicas.of(config)
    try:
        if replicas.spans_nodes:
            return Head(config, model_path, os.environ)
        if config.frontend.disable_frontend_multiprocessing:
            from paddock.engine.in_process import EngineThread

            [rank] = replicas.local
            return Engines({rank: EngineThread.start(config, model_path)}, are_numbered=False)
        return Engines.start(config, model_path, replicas.local)
    except OSError as error:
        raise StartError(f"the engine cannot be started: {error}.") from error


async def _addresses(engines: Engines | Head, signals: "Signals") -> dict[int, str] | None:
    """Of each engine, by data-parallel rank, once all nodes are there; None when the order to stop came first."""
    while (addresses := engines.addresses()) is None:
        reason = engines.failure()
        if reason is not None:
            raise StartError(f"{reason}.")
        if signals.have_come:
            return None
        await asyncio.sleep(POLL_SECONDS)
    return addresses


async def _serve_here(
    config: ServeConfig,
    assets: Assets,
    listeners: Listeners,
    engines: Engines | Head,
    addresses: dict[int, str],
    signals: "Signals",
) -> int:
    server = ApiServer(config, assets, listeners.sockets[0], addresses)
    signals.hand_to(server)
    watching = asyncio.create_task(_watch(engines, server.fail))
    try:
        await server.run()
    finally:
        watching.cancel()
    return server.status


async def _serve_by_many(
    config: ServeConfig,
    assets: Assets,
    listeners: Listeners,
    engines: Engines | Head,
    addresses: dict[int, str],
    signals: "Signals",
) -> int:
    try:
        metrics = private_folder()
    except OSError as error:
        raise StartError(f"the API servers' metrics: {error}.") from error
    try:
        fleet = Fleet.start(config, assets.model_path, listeners, addresses, metrics)
        signals.hand_to(fleet)
        watching = asyncio.create_task(_watch(engines, fleet.fail))
        try:
            return await fleet.run()
        finally:
            watching.cancel()
            fleet.kill()
    finally:
        shutil.rmtree(metrics, ignore_errors=True)


class Signals:
    """The first SIGTERM or SIGINT drains, the second ends at once; those that come early wait for their server."""

    def __init__(self) -> None:
        self._server: ApiServer | Fleet | None = None
        self._came: list[int] = []
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._on_signal, number)

    @property
    def have_come(self) -> bool:
        return bool(self._came)

    def hand_to(self, server: ApiServer | Fleet) -> None:
        self._server = server
        early, self._came = self._came, []
        for number in early:
            self._on_signal(number)

    def _on_signal(self, number: int) -> None:
        self._came.append(number)
        if self._server is None:
            return
        if len(self._came) == 1:
            self._server.drain()
        else:
            logger.warning("second signal: stopping now")
            self._server.stop_now(128 + number)


async def _watch(engines: Engines | Head, fail: Callable[[str], None]) -> None:
    """Notice the end of an engine, whatever ended it."""
    while (reason := engines.failure()) is None:
        await asyncio.sleep(POLL_SECONDS)
    fail(reason)


def new_loop() -> asyncio.AbstractEventLoop:
    import uvloop

    return uvloop.new_event_loop()
