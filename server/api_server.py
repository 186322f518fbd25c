"""One API server: a client of the engine with the OpenAI API in front, from its start to its end."""

import asyncio
import contextlib
import logging
import os
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from paddock import __version__
from paddock.engine.config import ServeConfig
from paddock.engine.config.effective import effective
from paddock.engine.config.environment import in_development, is_on
from paddock.engine.config.layer import Sourced
from paddock.engine.garbage_collector import settle_garbage_collector
from paddock.engine.messages import Ready
from paddock.server.app import create_app
from paddock.server.engine_client import EngineClient
from paddock.server.errors import ApiError, unavailable
from paddock.server.followed_adapters import FollowedAdapters
from paddock.server.generation.sampling import ModelLimits
from paddock.server.http_protocol import Limits
from paddock.server.http_server import HttpServer
from paddock.server.metric_table import hidden_names
from paddock.server.metrics import Metrics
from paddock.server.responses.store import ResponseStore
from paddock.server.serving import Serving
from paddock.server.startup import Assets, StartError, Timeouts, outputs_per_turn, step_sizes_interval
from paddock.server.stats_log import follow_stats, follow_step_sizes
from paddock.server.tls import Tls
from paddock.server.tracing.export import open_export

logger = logging.getLogger("paddock.server")
POLL_SECONDS = 0.1
PROGRESS_SECONDS = 10.0
FAILURE_GRACE_SECONDS = 2.0
"""After an engine failure: time for error events to leave before the process does."""


@dataclass(frozen=True, slots=True)
class Place:
    """Which of several API servers one is. The first speaks for all of them in the log."""

    index: int = 0
    count: int = 1
    created: int = field(default_factory=lambda: int(time.time()))
    """When the model was first served, as /v1/models tells it."""

    @property
    def is_first(self) -> bool:
        return self.index == 0


class ApiServer:
    """Runs once, on the running event loop: `run` serves until `drain`, `stop_now` or a failure ends it."""

    def __init__(
        self,
        config: ServeConfig,
        assets: Assets,
        listener: socket.socket,
        addresses: Mapping[int, str],
        place: Place = Place(),
    ) -> None:
        """`addresses` of the engines, by data-parallel rank."""
        self._config = config
        self._assets = assets
        self._listener = listener
        self._place = place
        self._timeouts = Timeouts.read(os.environ)
        self._names = tuple(config.model.served_model_name or (str(config.model.model),))
        hidden = hidden_names(config.observability.show_hidden_metrics_for_version)
        self._metrics = Metrics(self._names[0], place.is_first, hidden, engine=min(addresses))
        self._metrics.max_loras = config.lora.max_loras if config.lora.enable_lora else None
        self._client = EngineClient(
            addresses,
            self._metrics,
            self._timeouts.step,
            silence_timeout_seconds=self._timeouts.silence,
            first_turn=place.index,
            chunk=outputs_per_turn(os.environ),
        )
        self._client.on_failure = self._on_engine_failure
        self._export = open_export(config.observability, os.environ)
        self._tls = Tls(config.frontend) if config.frontend.ssl_certfile is not None else None
        listed = os.environ.get("PADDOCK_ADAPTERS_FILE")
        self._followed = FollowedAdapters(Path(listed), self._client.adapters) if listed else None
        self._stop = asyncio.Event()
        self._http: HttpServer | None = None
        self.status = 0
        """The exit status that the process should have."""

    async def run(self) -> None:
        """Raises StartError when the engine does not come up."""
        try:
            ready = await self._until_ready()
            if ready is not None:
                await self._serve(ready)
        finally:
            self._client.close()

    def drain(self) -> None:
        """Take no new work, let running streams end within the drain time, then end."""
        self._stop.set()

    def stop_now(self, status: int) -> None:
        """End without waiting for anything."""
        self.status = status
        self._stop.set()
        self._close(now=True)

    def fail(self, reason: str) -> None:
        """The engine is lost."""
        self._client.fail(reason)

    async def _until_ready(self) -> Ready | None:
        """None when the order to stop came first."""
        connecting = asyncio.ensure_future(self._client.connect(__version__))
        stopping = asyncio.ensure_future(self._stop.wait())
        started = time.monotonic()
        try:
            while not (connecting.done() or stopping.done()):
                await asyncio.wait(
                    (connecting, stopping), timeout=PROGRESS_SECONDS, return_when="FIRST_COMPLETED"
                )
                if self._place.is_first and not (connecting.done() or stopping.done()):
                    logger.info("still loading the model, %.0f s so far", time.monotonic() - started)
            return connecting.result() if connecting.done() else None
        except ApiError as error:
            raise StartError(error.message) from None
        finally:
            connecting.cancel()
            stopping.cancel()

    async def _serve(self, ready: Ready) -> None:
        frontend = self._config.frontend
        self._http = HttpServer(
            create_app(self._serving(ready), frontend),
            frontend.uvicorn_log_level,
            Limits.of(frontend),
            tls=None if self._tls is None else self._tls.context,
            access_log=not frontend.disable_uvicorn_access_log,
        )
        settle_garbage_collector()
        if self._place.is_first:
            self._log_ready(ready)
        if self._followed is not None:
            await self._followed.catch_up()
        async with contextlib.AsyncExitStack() as stack:
            self._in_background(stack)
            await self._http.serve_on(self._listener)

    def _in_background(self, stack: contextlib.AsyncExitStack) -> None:
        """Start what goes on beside the requests, until the stack ends."""
        jobs = [self._drain_on_stop()]
        if self._tls is not None and self._config.frontend.enable_ssl_refresh:
            jobs.append(self._tls.refresh())
        if self._followed is not None and self._place.is_first:
            jobs.append(self._followed.keep())
        if self._place.is_first:
            jobs.append(follow_stats(self._metrics, not self._config.service.disable_log_stats))
            interval = step_sizes_interval(os.environ)
            if interval is not None:
                jobs.append(follow_step_sizes(self._metrics, interval))
        for job in jobs:
            stack.callback(asyncio.create_task(job).cancel)
        if self._export is not None:
            stack.push_async_callback(asyncio.to_thread, self._export.close)

    def _serving(self, ready: Ready) -> Serving:
        config = self._config
        for link in self._client.links.values():
            assert link.ready is not None, "every engine was waited for"
            link.metrics.set_engine(link.ready, config.cache)
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
                config.model.logprobs_mode in ("raw_logits", "processed_logits"),
            ),
            client=self._client,
            metrics=self._metrics,
            frontend=config.frontend,
            parsers=self._assets.parsers,
            constraints=self._assets.constraints,
            pooling=self._assets.pooling,
            spans=None if self._export is None else self._export.spans,
            responses=ResponseStore() if self._place.count == 1 else None,
            log_requests=config.service.enable_log_requests,
            changes_adapters=is_on(os.environ, "ALLOW_RUNTIME_LORA_UPDATING"),
            sleeps=config.model.enable_sleep_mode,
            development=effective(Sourced(config, {})) if in_development(os.environ) else None,
            created=self._place.created,
        )

    def _log_ready(self, ready: Ready) -> None:
        where, curl = self._ways_in()
        key = " -H 'Authorization: Bearer <key>'" if self._config.frontend.api_key else ""
        sizes = [link.ready.num_blocks for link in self._client.links.values() if link.ready is not None]
        blocks = (
            str(sizes[0]) if len(sizes) == 1 else f"{len(sizes)} engines of {' + '.join(map(str, sizes))}"
        )
        logger.info(
            "serving %s at %s (%s, context %d tokens, %s cache blocks of %d tokens)",
            self._names[0], where, ready.model_dtype, ready.max_model_len, blocks, ready.block_size,
        )  # fmt: skip
        example, body = f"{curl}/chat/completions", '"messages":[{"role":"user","content":"Hello"}]'
        if self._assets.pooling is not None:
            example, body = f"{curl.removesuffix('/v1')}/pooling", '"input":"Hello"'
        logger.info(
            "try: curl %s%s -H 'Content-Type: application/json' -d '{\"model\":\"%s\",%s}'",
            example, key, self._names[0], body,
        )  # fmt: skip

    def _ways_in(self) -> tuple[str, str]:
        """Where the API is, and how curl gets there."""
        frontend = self._config.frontend
        scheme = "http" if self._tls is None else "https"
        path = f"{frontend.root_path or ''}/v1"
        if frontend.uds is not None:
            return frontend.uds, f"--unix-socket {frontend.uds} {scheme}://localhost{path}"
        host, port = self._listener.getsockname()[:2]
        shown = {"::": "localhost", "0.0.0.0": "localhost"}.get(host, f"[{host}]" if ":" in host else host)
        url = f"{scheme}://{shown}:{port}{path}"
        return url, url

    def _on_engine_failure(self) -> None:
        self.status = 1
        if self._http is not None and is_on(os.environ, "KEEP_ALIVE_ON_ENGINE_DEATH"):
            logger.error("every request is answered with an error until this process is stopped")
            return
        asyncio.get_running_loop().call_later(FAILURE_GRACE_SECONDS, self._close)

    def _close(self, now: bool = False) -> None:
        if self._http is not None:
            self._http.should_exit = True
            self._http.force_exit = self._http.force_exit or now

    async def _drain_on_stop(self) -> None:
        """After the order to stop: no new clients, running streams to their end, then down."""
        await self._stop.wait()
        client = self._client
        limit = self._timeouts.drain
        logger.info("stopping: %d sequences may finish within %.0f s", client.num_sequences, limit)
        deadline = time.monotonic() + limit
        assert self._http is not None, "only what serves drains"
        self._http.take_leave()
        while (client.num_sequences or self._http.is_awaiting()) and time.monotonic() < deadline:
            await asyncio.sleep(POLL_SECONDS)
        client.draining = True
        client.end_all(unavailable("The server is shutting down; send the request again."))
        self._close()
