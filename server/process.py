"""The process of `paddock serve`: engine up, API up, drain, down."""

import asyncio
import logging
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

from paddock.engine.config import ServeConfig
from paddock.engine.data_parallel.engines import Engines
from paddock.engine.data_parallel.head import Head
from paddock.engine.data_parallel.peer_node import PeerNode
from paddock.engine.data_parallel.replicas import Replicas
from paddock.engine.launch import STOP_SECONDS
from paddock.engine.private_folder import private_folder
from paddock.server.api_server import POLL_SECONDS, ApiServer
from paddock.server.fleet import Fleet
from paddock.server.listener import Listeners
from paddock.server.open_files import allow_many_connections
from paddock.server.startup import Assets, StartError, Timeouts

logger = logging.getLogger("paddock.server")
EngineGroup = Engines | Head | PeerNode
LAST_WORDS_SECONDS = 3.0
"""When the time to drain is over everywhere, so long may it take to hear so from other nodes."""
FAILED_STOP_SECONDS = 1.0
"""After a failure engines have nothing to finish; one that is stopped or hangs, the failure itself, is killed then."""


def run_server(config: ServeConfig, assets: Assets, listeners: Listeners) -> int:
    """Serve until a signal or a failure; the exit status of the process. Raises StartError."""
    allow_many_connections()
    with asyncio.Runner(loop_factory=new_loop) as runner:
        return runner.run(_run(config, assets, listeners))


async def _run(config: ServeConfig, assets: Assets, listeners: Listeners) -> int:
    signals = Signals()
    engines = await asyncio.to_thread(_start_engines, config, assets.model_path)
    patience = STOP_SECONDS
    try:
        addresses = await _addresses(engines, signals)
        if addresses is None:
            return 0
        serve = _serve_here if len(listeners.sockets) == 1 else _serve_by_many
        status = await serve(config, assets, listeners, engines, addresses, signals)
        status = status or await _outlast_others(engines, signals)
        if status:
            patience = FAILED_STOP_SECONDS
        return status
    finally:
        await asyncio.to_thread(engines.stop, patience)


def _start_engines(config: ServeConfig, model_path: Path) -> EngineGroup:
    """The engines of this command; where other nodes run some, the place where these meet. Raises SettingsError."""
    replicas = Replicas.of(config)
    try:
        if replicas.spans_nodes:
            return (Head if replicas.leads else PeerNode)(config, model_path, os.environ)
        if config.frontend.disable_frontend_multiprocessing:
            from paddock.engine.in_process import EngineThread

            [rank] = replicas.local
            return Engines({rank: EngineThread.start(config, model_path)}, are_numbered=False)
        return Engines.start(config, model_path, replicas.local)
    except OSError as error:
        raise StartError(f"the engine cannot be started: {error}.") from error


async def _addresses(engines: EngineGroup, signals: "Signals") -> dict[int, str] | None:
    """Of each engine, by data-parallel rank, once all nodes are there; None when the order to stop came first."""
    while (addresses := engines.addresses()) is None:
        reason = engines.failure()
        if reason is not None:
            raise StartError(f"{reason}.")
        if signals.have_come:
            return None
        await asyncio.sleep(POLL_SECONDS)
    return addresses


async def _outlast_others(engines: EngineGroup, signals: "Signals") -> int:
    """Keep engines whose experts other nodes need for what these still answer; the exit status."""
    deadline = signals.first_came + Timeouts.read(os.environ).drain + LAST_WORDS_SECONDS
    while engines.failure() is None and not signals.are_urgent and time.monotonic() < deadline:
        if engines.retire():
            return 0
        await asyncio.sleep(POLL_SECONDS)
    logger.error("stopping: %s", engines.failure() or "other nodes go on, and lose the experts of this one")
    return 1


async def _serve_here(
    config: ServeConfig,
    assets: Assets,
    listeners: Listeners,
    engines: EngineGroup,
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
    engines: EngineGroup,
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
        self.first_came = time.monotonic()
        """When the time to drain began, on the clock of `time.monotonic`; that of the start while none has come."""
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._on_signal, number)

    @property
    def have_come(self) -> bool:
        return bool(self._came)

    @property
    def are_urgent(self) -> bool:
        return len(self._came) > 1

    def hand_to(self, server: ApiServer | Fleet) -> None:
        self._server = server
        early, self._came = self._came, []
        for number in early:
            self._on_signal(number)

    def _on_signal(self, number: int) -> None:
        self.first_came = self.first_came if self._came else time.monotonic()
        self._came.append(number)
        if self._server is None:
            return
        if len(self._came) == 1:
            self._server.drain()
        else:
            logger.warning("second signal: stopping now")
            self._server.stop_now(128 + number)


async def _watch(engines: EngineGroup, fail: Callable[[str], None]) -> None:
    """Notice the end of an engine, whatever ended it."""
    while (reason := engines.failure()) is None:
        await asyncio.sleep(POLL_SECONDS)
    fail(reason)


def new_loop() -> asyncio.AbstractEventLoop:
    import uvloop

    return uvloop.new_event_loop()
