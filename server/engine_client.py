"""The server's way to its engines: which of them takes a request, and what the loss of one means for all."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from paddock.engine.distributed.vitality import OwnPauses
from paddock.engine.executor.method_call import MethodCall
from paddock.engine.messages import AddRequest, CallWorkers, Ready, ResetPrefixCache, Sleep, WakeUp
from paddock.server.adapters import Adapters
from paddock.server.engine_link import RETRY_AFTER_SECONDS, EngineLink
from paddock.server.errors import ApiError, unavailable
from paddock.server.generation.stream import Generation
from paddock.server.metrics import Metrics
from paddock.server.step_feed import DEFAULT_CHUNK

logger = logging.getLogger("paddock.server.engine")
HEARTBEAT_TIMEOUT_SECONDS = 10.0
WATCH_SECONDS = 0.2


class EngineClient:
    """Made and used on one running event loop. All methods but `connect` return at once.

    Every engine is needed: one that is lost takes the others' requests with it, so that all of them are started again.
    """

    def __init__(
        self,
        addresses: Mapping[int, str],
        metrics: Metrics,
        step_timeout_seconds: float,
        silence_timeout_seconds: float = HEARTBEAT_TIMEOUT_SECONDS,
        first_turn: int = 0,
        chunk: int = DEFAULT_CHUNK,
    ) -> None:
        """`addresses` of the engines by data-parallel rank. `first_turn` differs among servers of the same engines, so
        that not all of them begin with the same one. At a turn of the loop `chunk` outputs of an engine are handed out."""
        self._step_timeout = step_timeout_seconds
        self._silence_timeout = silence_timeout_seconds
        self.links: dict[int, EngineLink] = {}
        for rank, address in addresses.items():
            self.links[rank] = EngineLink(address, metrics.of_engine(rank), partial(self._lose, rank), chunk)
        self._in_turn = list(self.links.values())
        self.adapters = Adapters(self._in_turn)
        self._turn = first_turn
        self.failure: str | None = None
        self.draining = False
        self.on_failure: Callable[[], None] | None = None
        self._watching = asyncio.get_running_loop().create_task(self._watch())

    async def connect(self, version: str) -> Ready:
        """Greet the engines and wait until all can serve; what one of them says holds for each. Cancel it to give up."""
        answers = await asyncio.gather(*(link.connect(version) for link in self._in_turn))
        if self.failure is not None or answers[0] is None:
            raise unavailable(self.failure or "the engine failed")
        return answers[0]

    @property
    def ready(self) -> Ready | None:
        """What the engines have in common."""
        return self._in_turn[0].ready

    def close(self) -> None:
        self._watching.cancel()
        for link in self._in_turn:
            link.close()

    @property
    def num_sequences(self) -> int:
        """Sequences sent to the engines and not finished."""
        return sum(link.num_sequences for link in self._in_turn)

    def start(self, requests: list[AddRequest]) -> Generation:
        """Send the sequences of one HTTP request, all to one engine. Raises ApiError 503 when no work is taken now."""
        self.refuse_if_unavailable()
        link = self._least_loaded()
        generation = Generation(requests, link.abort)
        link.start(generation)
        return generation

    def _least_loaded(self) -> EngineLink:
        """Of equals that whose turn it is."""
        count = len(self._in_turn)
        chosen = min(range(self._turn, self._turn + count), key=lambda turn: self._in_turn[turn % count].load)
        self._turn = (chosen + 1) % count
        return self._in_turn[chosen % count]

    def refuse_if_unavailable(self) -> None:
        if self.failure is not None:
            raise unavailable(self.failure)
        if self.draining:
            raise unavailable("The server is shutting down; send the request again.", RETRY_AFTER_SECONDS)

    def reset_prefix_cache(self) -> None:
        """Have the engines forget every cached block that no running request uses. Raises ApiError 503."""
        self.refuse_if_unavailable()
        for link in self._in_turn:
            link.send(ResetPrefixCache())

    async def call_workers(self, call: MethodCall, timeout_seconds: float | None) -> list[Any]:
        """What a method of the user's gives on the workers, by engine and rank. Raises ApiError."""
        self.refuse_if_unavailable()
        try:
            async with asyncio.timeout(timeout_seconds):
                calls = (link.call_workers(CallWorkers(call)) for link in self._in_turn)
                answers = [answer for engine in await asyncio.gather(*calls) for answer in engine.answers]
        except TimeoutError:
            text = f"{call.method} has not ended on all workers within {timeout_seconds:g} s; it goes on."
            raise ApiError(504, text, "timeout") from None
        fault = next((answer for answer in answers if answer.status != 200), None)
        if fault is not None:
            raise ApiError(fault.status, fault.message, "method")
        return [answer.result for answer in answers]

    async def sleep(self, level: int) -> None:
        """Have every engine finish what runs and give memory back. Raises ApiError 503."""
        self.refuse_if_unavailable()
        await asyncio.gather(*(link.slumber(Sleep(level)) for link in self._in_turn))

    async def wake_up(self) -> None:
        """Have every engine take its memory again. Raises ApiError 503 when one cannot; it stays asleep."""
        self.refuse_if_unavailable()
        await asyncio.gather(*(link.slumber(WakeUp()) for link in self._in_turn))

    @property
    def is_sleeping(self) -> bool:
        return any(link.sleep_level for link in self._in_turn)

    async def _watch(self) -> None:
        """An engine that is silent, or never ends a step, is lost as one that has died; whoever runs it ends it."""
        pauses = OwnPauses()
        while self.failure is None:
            pause = pauses.until(time.monotonic())
            for rank, link in self.links.items():
                # A tick early: it is to be noticed in time.
                reason = link.stuck(self._silence_timeout - WATCH_SECONDS, self._step_timeout, pause)
                if reason is not None:
                    self._lose(rank, reason)
            await asyncio.sleep(WATCH_SECONDS)

    def fail(self, message: str) -> None:
        """An engine is lost: end every request with an error. Later calls change nothing."""
        if self.failure is not None:
            return
        self.failure = message
        logger.error("engine failed: %s", message)
        for link in self._in_turn:
            link.give_up()
        self.end_all(ApiError(500, f"The engine failed: {message}. Send the request again."))
        if self.on_failure is not None:
            self.on_failure()

    def end_all(self, error: ApiError) -> None:
        """End every running request with this error, and tell the engines."""
        for link in self._in_turn:
            for generation in link.generations:
                generation.fail(error)

    def _lose(self, rank: int, reason: str) -> None:
        self.fail(self._named(rank, reason))

    def _named(self, rank: int, reason: str) -> str:
        return reason if len(self.links) == 1 else f"data-parallel rank {rank}: {reason}"
