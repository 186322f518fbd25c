"""The life of a serving process: engine up, HTTP up, drain, down."""

import asyncio
import contextlib
import gc
import logging
import signal
import socket
import time

from paddock import __version__
from paddock.engine.config import ServeConfig
from paddock.engine.launch import EngineProcess
from paddock.engine.messages import Ready
from paddock.server.app import create_app
from paddock.server.engine_client import EngineClient
from paddock.server.errors import unavailable
from paddock.server.generation.sampling import ModelLimits
from paddock.server.http_server import HttpServer
from paddock.server.metrics import Metrics
from paddock.server.serving import Serving
from paddock.server.startup import Assets, StartError, Timeouts
from paddock.server.stats_log import log_stats

logger = logging.getLogger("paddock.server")
POLL_SECONDS = 0.1
PROGRESS_SECONDS = 10.0
FAILURE_GRACE_SECONDS = 2.0
"""After an engine failure: time for error events to leave before the process does."""


class ServerProcess:
    """Runs once. `run` returns the exit status."""

    def __init__(
        self, config: ServeConfig, assets: Assets, listener: socket.socket, timeouts: Timeouts
    ) -> None:
        self._config = config
        self._assets = assets
        self._listener = listener
        self._timeouts = timeouts
        self._names = tuple(config.model.served_model_name or (str(config.model.model),))
        self._stop = asyncio.Event()
        self._status = 0
        self._server: HttpServer | None = None

    async def run(self) -> int:
        """Raises StartError when the engine does not come up."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal, number)
        try:
            engine = EngineProcess.start(self._config, self._assets.model_path)
        except OSError as error:
            raise StartError(f"the engine's process cannot be started: {error}.") from error
        metrics = Metrics(self._names[0])
        client = EngineClient(engine.address, metrics, self._timeouts.step)
        client.on_failure = self._on_engine_failure
        try:
            ready = await self._until_ready(engine, client)
            if ready is not None:
                await self._serve(engine, client, metrics, ready)
        finally:
            client.close()
            await asyncio.to_thread(engine.stop)
        return self._status

    async def _until_ready(self, engine: EngineProcess, client: EngineClient) -> Ready | None:
        """None when a signal came first."""
        connecting = asyncio.ensure_future(client.connect(__version__))
        stopping = asyncio.ensure_future(self._stop.wait())
        started = progress = time.monotonic()
        try:
            while not connecting.done() and not self._stop.is_set():
                await asyncio.wait(
                    (connecting, stopping), timeout=POLL_SECONDS, return_when="FIRST_COMPLETED"
                )
                if engine.poll() is not None:
                    raise StartError(
                        engine.failure() or f"the engine process ended with status {engine.poll()}."
                    )
                if time.monotonic() - progress > PROGRESS_SECONDS:
                    progress = time.monotonic()
                    logger.info("still loading the model, %.0f s so far", progress - started)
            if client.failure is not None:
                raise StartError(engine.failure() or client.failure)
            return connecting.result() if connecting.done() else None
        finally:
            connecting.cancel()
            stopping.cancel()

    async def _serve(
        self, engine: EngineProcess, client: EngineClient, metrics: Metrics, ready: Ready
    ) -> None:
        serving = self._serving(client, metrics, ready)
        self._server = HttpServer(
            create_app(serving, self._config.frontend), self._config.frontend.uvicorn_log_level
        )
        # What is loaded now stays for life: the collector need not look at it again.
        gc.collect()
        gc.freeze()
        self._log_ready(ready)
        tasks = [
            asyncio.create_task(_watch_engine(engine, client)),
            asyncio.create_task(self._drain_on_stop(client)),
        ]
        if not self._config.service.disable_log_stats:
            tasks.append(asyncio.create_task(log_stats(metrics)))
        try:
            await self._server.serve(sockets=[self._listener])
        finally:
            for task in tasks:
                task.cancel()

    def _serving(self, client: EngineClient, metrics: Metrics, ready: Ready) -> Serving:
        config = self._config
        prefix_caching = config.cache.enable_prefix_caching is not False
        metrics.set_engine(
            ready,
            {
                "cache_dtype": ready.model_dtype,
                "gpu_memory_utilization": str(config.cache.gpu_memory_utilization),
                "enable_prefix_caching": str(prefix_caching),
            },
        )
        return Serving(
            model_names=self._names,
            root=str(config.model.model),
            tokenizer=self._assets.tokenizer,
            chat_template=self._assets.chat_template,
            defaults=self._assets.defaults,
            limits=ModelLimits(
                ready.max_model_len,
                ready.vocab_size,
                config.model.max_logprobs,
                config.scheduler.scheduling_policy == "priority",
            ),
            client=client,
            metrics=metrics,
            log_requests=config.service.enable_log_requests,
        )

    def _log_ready(self, ready: Ready) -> None:
        host, port = self._listener.getsockname()[:2]
        shown = {"::": "localhost", "0.0.0.0": "localhost"}.get(host, f"[{host}]" if ":" in host else host)
        url = f"http://{shown}:{port}{self._config.frontend.root_path or ''}/v1"
        key = " -H 'Authorization: Bearer <key>'" if self._config.frontend.api_key else ""
        logger.info(
            "serving %s at %s (%s, context %d tokens, %d cache blocks of %d tokens)",
            self._names[0], url, ready.model_dtype, ready.max_model_len, ready.num_blocks, ready.block_size,
        )  # fmt: skip
        body = f'{{"model":"{self._names[0]}","messages":[{{"role":"user","content":"Hello"}}]}}'
        logger.info(
            "try: curl %s/chat/completions%s -H 'Content-Type: application/json' -d '%s'", url, key, body
        )

    def _on_signal(self, number: int) -> None:
        if not self._stop.is_set():
            self._stop.set()
            return
        logger.warning("second signal: stopping now")
        self._status = 128 + number
        self._close(now=True)

    def _on_engine_failure(self) -> None:
        self._status = 1
        asyncio.get_running_loop().call_later(FAILURE_GRACE_SECONDS, self._close)

    def _close(self, now: bool = False) -> None:
        if self._server is not None:
            self._server.should_exit = True
            self._server.force_exit = self._server.force_exit or now

    async def _drain_on_stop(self, client: EngineClient) -> None:
        """After the first signal: no new work, running streams to their end, then down."""
        await self._stop.wait()
        client.draining = True
        limit = self._timeouts.drain
        logger.info("stopping: %d sequences may finish within %.0f s", client.num_sequences, limit)
        deadline = time.monotonic() + limit
        while client.num_sequences and time.monotonic() < deadline:
            await asyncio.sleep(POLL_SECONDS)
        client.end_all(unavailable("The server is shutting down; send the request again."))
        self._close()


async def _watch_engine(engine: EngineProcess, client: EngineClient) -> None:
    """Notice the end of the engine's process, whatever ended it."""
    while engine.poll() is None:
        await asyncio.sleep(POLL_SECONDS)
    client.fail(engine.failure() or f"its process ended with status {engine.poll()}")


def run_server(config: ServeConfig, assets: Assets, listener: socket.socket, timeouts: Timeouts) -> int:
    """Serve until a signal or a failure; the exit status of the process. Raises StartError."""
    with contextlib.closing(listener), asyncio.Runner(loop_factory=_new_loop) as runner:
        return runner.run(ServerProcess(config, assets, listener, timeouts).run())


def _new_loop() -> asyncio.AbstractEventLoop:
    import uvloop

    return uvloop.new_event_loop()
