"""The ASGI response of a beam search: rounds of one-token requests that share their prefixes in the cache."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from paddock.engine.messages import AddRequest, PositionLogprobs, RequestOutput
from paddock.engine.sampling.params import SamplingParams
from paddock.server.engine_client import EngineClient
from paddock.server.errors import CLIENT_CLOSED_REQUEST, ApiError
from paddock.server.generation.answer import failure
from paddock.server.generation.beam_search import BeamRules, BeamSearch, Finished
from paddock.server.generation.choice import Choice, Piece
from paddock.server.generation.format import ReplyFormat, TokenCount
from paddock.server.generation.stream import Generation
from paddock.server.request_log import OutputLog
from paddock.server.tracing.record import follow


@dataclass(frozen=True, slots=True)
class BeamPrompt:
    """A prompt, with the rules of its search and one empty choice for each beam that is to be shown."""

    token_ids: list[int]
    rules: BeamRules
    choices: list[Choice]


@dataclass(frozen=True, slots=True)
class BeamRequest:
    unique: str
    prompts: list[BeamPrompt]
    top_logprobs: int | None
    """None shows no log-probabilities."""

    priority: int
    cache_salt: str | None
    adapter: str | None


class BeamAnswer(Response):
    """Answers whole: which beam wins is known at the end only. All prompts advance together."""

    def __init__(
        self,
        client: EngineClient,
        request: BeamRequest,
        reply: ReplyFormat,
        tokens: TokenCount,
        output_log: OutputLog | None,
    ) -> None:
        super().__init__()
        self._client = client
        self._request = request
        self._reply = reply
        self._tokens = tokens
        self._output_log = output_log
        self._searches = [BeamSearch(prompt.rules) for prompt in request.prompts]
        self._round = 0
        self._gone = False
        self._generation: Generation | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        watcher = asyncio.create_task(self._watch(receive))
        try:
            while not all(search.over for search in self._searches):
                await self._advance(scope)
        finally:
            watcher.cancel()
            if self._generation is not None:
                self._generation.abort_all()
        pieces = list(self._pieces())
        if self._output_log is not None:
            for index, piece in enumerate(pieces):
                self._output_log.add(index, piece)
        body = self._reply.whole(pieces, self._tokens.usage())
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _advance(self, scope: Scope) -> None:
        if self._gone:
            raise ApiError(CLIENT_CLOSED_REQUEST, "The client closed the connection.")
        self._generation = self._client.start(list(self._requests()))
        follow(scope, self._generation)
        found = await one_each(self._generation)
        if self._round == 0:
            self._tokens.cached_tokens = sum(output.num_cached_tokens for output in found)
        self._round += 1
        candidates = iter(found)
        for search in self._searches:
            search.advance([_best(next(candidates)) for _ in search.beams])

    def _requests(self) -> Iterator[AddRequest]:
        request, arrival = self._request, time.time()
        for number, (prompt, search) in enumerate(zip(request.prompts, self._searches, strict=True)):
            wanted = max(prompt.rules.num_candidates, request.top_logprobs or 0)
            sampling = SamplingParams(max_tokens=1, temperature=0.0, logprobs=wanted)
            for at, beam in enumerate(search.beams):
                yield AddRequest(
                    f"{request.unique}-{number}-{self._round}-{at}",
                    [*prompt.token_ids, *beam.token_ids],
                    sampling,
                    arrival,
                    request.priority,
                    request.cache_salt,
                    adapter=request.adapter,
                )

    def _pieces(self) -> Iterator[Piece]:
        for prompt, search in zip(self._request.prompts, self._searches, strict=True):
            for choice, finished in zip(prompt.choices, search.finished, strict=True):
                piece = choice.push(self._output(finished))
                self._tokens.add_completion(piece.num_tokens)
                yield piece

    def _output(self, finished: Finished) -> RequestOutput:
        top = self._request.top_logprobs
        positions = finished.beam.positions
        return RequestOutput(
            self._request.unique,
            list(finished.beam.token_ids),
            logprobs=None if top is None else [position[: top + 1] for position in positions],
            finish_reason="stop" if finished.ended else "length",
        )

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._gone = True
        if self._generation is not None:
            self._generation.disconnect()


async def one_each(generation: Generation) -> list[RequestOutput]:
    """The single output of each sequence, in their order. Raises ApiError."""
    found: dict[int, RequestOutput] = {}
    while len(found) < len(generation.sequences):
        for index, output in await generation.next():
            if output.finish_reason == "error":
                raise failure(output)
            found[index] = output
    return [found[index] for index in range(len(found))]


def _best(output: RequestOutput) -> PositionLogprobs:
    """The best tokens of an output with log-probabilities, without the sampled one in front."""
    assert output.logprobs is not None
    return output.logprobs[0][1:]
