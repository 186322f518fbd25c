"""The ASGI response of a generation: starts it, streams or gathers its pieces, aborts it when the caller leaves."""

import asyncio
import logging
from dataclasses import dataclass

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from paddock.engine.messages import AddRequest, RequestOutput
from paddock.server.direct_body import direct_body
from paddock.server.engine_client import EngineClient
from paddock.server.errors import ApiError, log_stack
from paddock.server.generation.choice import Choice, Piece
from paddock.server.generation.format import ReplyFormat, TokenCount
from paddock.server.generation.stream import Batch, Generation, PassOn
from paddock.server.request_log import OutputLog
from paddock.server.tracing.record import follow

logger = logging.getLogger("paddock.server")
KEEP_ALIVE_SECONDS = 15.0
"""A stream without tokens for so long sends a comment, so that no proxy takes it for dead."""
STREAM_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]


@dataclass(frozen=True, slots=True)
class StreamChoice:
    """How the caller wants the answer: whole or streamed, and where usage shows."""

    stream: bool = False
    include_usage: bool = False
    continuous_usage: bool = False


class Answer(Response):
    """Runs one generation request to its end. Errors before the first byte are raised, so that the application answers
    them with their own status; later ones travel as an event.
    """

    def __init__(
        self,
        client: EngineClient,
        requests: list[AddRequest],
        choices: list[Choice],
        reply: ReplyFormat,
        tokens: TokenCount,
        how: StreamChoice,
        choices_per_prompt: int,
        output_log: OutputLog | None = None,
    ) -> None:
        super().__init__()
        self._client = client
        self._requests = requests
        self._choices = choices
        self._reply = reply
        self._tokens = tokens
        self._how = how
        self._choices_per_prompt = choices_per_prompt
        self._output_log = output_log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        generation = self._client.start(self._requests)
        follow(scope, generation)
        watcher = asyncio.create_task(_watch(receive, generation))
        try:
            if self._how.stream:
                # In a task of its own a token wakes this coroutine alone, not all the layers that wait around it.
                await asyncio.create_task(self._stream(generation, scope, send))
            else:
                await self._gather(generation, send)
        finally:
            watcher.cancel()
            generation.abort_all()
            if self._output_log is not None:
                self._output_log.close()

    async def _gather(self, generation: Generation, send: Send) -> None:
        pieces = [Piece() for _ in self._choices]
        while not all(choice.finished for choice in self._choices):
            for index, piece in self._read(generation, await generation.next()):
                pieces[index].extend(piece)
        body = self._reply.whole(pieces, self._tokens.usage())
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _stream(self, generation: Generation, scope: Scope, send: Send) -> None:
        # The engine may refuse; until it has spoken (or for a while) the status stays open.
        timer = _KeepAlive(generation)
        try:
            batch = await generation.next()
            await send({"type": "http.response.start", "status": 200, "headers": STREAM_HEADERS})
            await self._send_events(generation, batch, scope, send)
        finally:
            timer.cancel()

    async def _send_events(self, generation: Generation, batch: Batch, scope: Scope, send: Send) -> None:
        head = self._reply.opening()
        pass_on = self._past_layers(generation, scope)
        try:
            while True:
                body = head + self._events(generation, batch)
                head = b""
                if all(choice.finished for choice in self._choices):
                    break
                if body or not batch:
                    message = {
                        "type": "http.response.body",
                        "body": body or self._reply.keep_alive,
                        "more_body": True,
                    }
                    await send(message)
                batch = await generation.next(pass_on)
            body += self._reply.closing(self._tokens.usage(), self._how.include_usage)
        except ApiError as error:
            log_stack(scope, error)
            body = self._reply.failed(error)
        except Exception:
            logger.exception("a stream failed")
            body = self._reply.failed(ApiError(500, "The server failed on this request; its log says why."))
        await send({"type": "http.response.body", "body": body})

    def _past_layers(self, generation: Generation, scope: Scope) -> PassOn | None:
        """Writes an output's events as it comes. Ends, and whatever the client does not take yet, are the reader's."""
        direct = direct_body(scope)
        if direct is None:
            return None

        def pass_on(index: int, output: RequestOutput) -> bool:
            if output.finish_reason is not None or not direct.is_open:
                return False
            events = self._events(generation, [(index, output)])
            if events:
                direct.write(events)
            if self._choices[index].finished and all(choice.finished for choice in self._choices):
                generation.nudge()
            return True

        return pass_on

    def _events(self, generation: Generation, batch: Batch) -> bytes:
        usage = self._tokens.usage() if self._how.continuous_usage else None
        parts: list[bytes] = []
        for index, piece in self._read(generation, batch):
            if usage is not None:
                usage = self._tokens.usage()
            parts.append(self._reply.events(index, piece, usage))
        return b"".join(parts)

    def _read(self, generation: Generation, batch: Batch) -> list[tuple[int, Piece]]:
        """Text of the outputs; neighbours of one choice become one piece when the reader fell behind."""
        pieces: dict[int, Piece] = {}
        for index, output in batch:
            choice = self._choices[index]
            if choice.finished:  # outputs after a stop string were already on their way
                continue
            if choice.num_tokens == 0 and index % self._choices_per_prompt == 0:
                self._tokens.cached_tokens += output.num_cached_tokens
            piece = choice.push(output)
            self._tokens.add_completion(piece.num_tokens)
            if piece.finish_reason == "error":
                raise failure(output)
            if self._output_log is not None:
                self._output_log.add(index, piece)
            if choice.finished and output.finish_reason is None:
                generation.complete(index)
            if index in pieces:
                pieces[index].extend(piece)
            else:
                pieces[index] = piece
        return list(pieces.items())


def failure(output: RequestOutput) -> ApiError:
    """The engine ended this request alone. Sending it again would change nothing, which clients are told."""
    reason = output.error or "its log says why"
    return ApiError(500, f"The engine failed on this request: {reason}.", headers={"x-should-retry": "false"})


class _KeepAlive:
    """Wakes the stream's writer every few seconds, so that it can send a comment when it has nothing else."""

    def __init__(self, generation: Generation) -> None:
        self._generation = generation
        self._loop = asyncio.get_running_loop()
        self._arm()

    def _arm(self) -> None:
        self._handle = self._loop.call_later(KEEP_ALIVE_SECONDS, self._tick)

    def _tick(self) -> None:
        self._generation.nudge()
        self._arm()

    def cancel(self) -> None:
        self._handle.cancel()


async def _watch(receive: Receive, generation: Generation) -> None:
    """Abort when the caller goes away. The body is read already, so what comes next is the end."""
    while (await receive())["type"] != "http.disconnect":
        pass
    generation.disconnect()
