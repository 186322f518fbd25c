"""The engine as the API server drives it: in its own process or thread, asked by messages, without HTTP."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from paddock import __version__
from paddock.engine.config import CacheConfig, ServeConfig
from paddock.engine.launch import Engine, EngineProcess
from paddock.engine.messages import AddRequest
from paddock.engine.sampling.params import SamplingParams
from paddock.server.bench.errors import BenchError
from paddock.server.bench.offline import push_all
from paddock.server.engine_client import EngineClient
from paddock.server.errors import ApiError
from paddock.server.metrics import Metrics
from paddock.server.startup import Timeouts
from paddock.server.tokens.tokenizer import Tokenizer

POLL_SECONDS = 0.1


class AsyncEngine:
    """Made on a running event loop. `close` it."""

    def __init__(self, config: ServeConfig, folder: Path, tokenizer: Tokenizer | None, most: int) -> None:
        """`most` requests are under way at once: as many as the engine's queue takes."""
        self._engine = _start(config, folder)
        self._metrics = Metrics("bench")  # kept as the server keeps it: its cost belongs to what is measured
        self._client = EngineClient({0: self._engine.address}, self._metrics, Timeouts().step)
        self._watching = asyncio.create_task(_watch(self._engine, self._client))
        self._tokenizer = tokenizer
        self._places = asyncio.Semaphore(most)

    async def ready(self) -> None:
        """Until the model is loaded. Raises BenchError."""
        with _words_for_errors():
            self._metrics.set_engine(await self._client.connect(__version__), CacheConfig())

    async def generate(
        self, prompts: Sequence[tuple[list[int], SamplingParams]], on_finished: Callable[[int], None]
    ) -> None:
        """`on_finished` hears the number of output tokens of each. Raises BenchError."""
        with _words_for_errors():
            async with asyncio.TaskGroup() as group:
                for number, (token_ids, sampling) in enumerate(prompts):
                    group.create_task(
                        self._one(AddRequest(str(number), token_ids, sampling, time.time()), on_finished)
                    )

    async def close(self) -> None:
        self._watching.cancel()
        await asyncio.to_thread(self._engine.stop)
        self._client.close()

    async def _one(self, request: AddRequest, on_finished: Callable[[int], None]) -> None:
        tokenizer = self._tokenizer
        detokenizer = tokenizer.detokenizer(request.prompt_token_ids, True) if tokenizer is not None else None
        async with self._places:
            generation = self._client.start([request])
            count, reason = 0, None
            while reason is None:
                for _, output in await generation.next():
                    count += len(output.new_token_ids)
                    if detokenizer is not None:
                        push_all(detokenizer, output)
                    reason = output.finish_reason
                    if reason == "error":
                        raise BenchError(f"a request failed: {output.error}")
        on_finished(count)


def _start(config: ServeConfig, folder: Path) -> Engine:
    try:
        if config.frontend.disable_frontend_multiprocessing:
            from paddock.engine.in_process import EngineThread

            return EngineThread.start(config, folder)
        return EngineProcess.start(config, folder)
    except OSError as error:
        raise BenchError(f"the engine cannot be started: {error}") from None


async def _watch(engine: Engine, client: EngineClient) -> None:
    while engine.poll() is None:
        await asyncio.sleep(POLL_SECONDS)
    client.fail(engine.failure() or f"the engine ended with status {engine.poll()}")


@contextlib.contextmanager
def _words_for_errors() -> Iterator[None]:
    try:
        yield
    except ApiError as error:
        raise BenchError(error.message.rstrip(".")) from None
    except ExceptionGroup as group:  # the first failure cancels the other requests
        first = group.exceptions[0]
        if not isinstance(first, ApiError | BenchError):
            raise
        raise BenchError((first.message if isinstance(first, ApiError) else str(first)).rstrip(".")) from None
