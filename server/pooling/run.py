"""The inputs of one HTTP request through the engine: their results, in order."""

import asyncio
import time
from collections.abc import Sequence
from uuid import uuid4

import msgspec
from fastapi import Request

from paddock.engine.messages import AddRequest
from paddock.engine.pooling.params import PooledRows, PoolingParams
from paddock.engine.sampling.params import SamplingParams
from paddock.server.errors import CLIENT_CLOSED_REQUEST, ApiError
from paddock.server.generation.beam_answer import one_each
from paddock.server.generation.format import TokenCount
from paddock.server.generation.stream import Generation
from paddock.server.middleware.request_id import request_id_of
from paddock.server.pooling.pooling_model import PoolingModel
from paddock.server.request_log import log_request
from paddock.server.serving import Serving
from paddock.server.tokens.inputs import EncodedInput
from paddock.server.tracing.record import Asked, follow, trace_of

NOTHING_GENERATED = SamplingParams(max_tokens=1)


class PoolingRun:
    """Sends as many at once as the engine computes side by side: a long list must not fill its queue."""

    def __init__(
        self, http: Request, serving: Serving, model: PoolingModel, priority: int, model_name: str
    ) -> None:
        self._http = http
        self._serving = serving
        self._model = model
        self._priority = priority
        self._model_name = model_name
        self._unique = uuid4().hex
        self._generation: Generation | None = None
        self._gone = False

    async def results(self, inputs: Sequence[EncodedInput], params: PoolingParams) -> list[PooledRows]:
        """Raises ApiError. When the caller goes away, its inputs end in the engine."""
        made = self._requests(inputs, params)
        if self._serving.log_requests:
            log_request(
                request_id_of(self._http.scope), inputs[0].token_ids, made, self._serving.frontend.max_log_len
            )
        trace = trace_of(self._http.scope)
        if trace is not None:
            tokens = TokenCount(sum(len(each.token_ids) for each in inputs))
            trace.asked = Asked(self._model_name, made[0], len(inputs), False, tokens)
        watcher = asyncio.create_task(self._watch())
        found: list[PooledRows] = []
        size = self._model.most_at_once
        try:
            for start in range(0, len(made), size):
                found += await self._wave(made[start : start + size])
        finally:
            watcher.cancel()
            if self._generation is not None:
                self._generation.abort_all()
        return found

    def _requests(self, inputs: Sequence[EncodedInput], params: PoolingParams) -> list[AddRequest]:
        arrival = time.time()
        tells_pairs = self._model.plan.tells_pairs
        return [
            AddRequest(
                f"{self._unique}-{index}",
                each.token_ids,
                NOTHING_GENERATED,
                arrival,
                self._priority,
                pooling=msgspec.structs.replace(params, second_from=each.second_from)
                if tells_pairs
                else params,
            )
            for index, each in enumerate(inputs)
        ]

    async def _wave(self, requests: list[AddRequest]) -> list[PooledRows]:
        if self._gone:
            raise ApiError(CLIENT_CLOSED_REQUEST, "The client closed the connection.")
        self._generation = self._serving.client.start(requests)
        follow(self._http.scope, self._generation)
        outputs = await one_each(self._generation)
        return [output.pooled for output in outputs if output.pooled is not None]

    async def _watch(self) -> None:
        """The body is read already, so what comes next is the end."""
        while (await self._http.receive())["type"] != "http.disconnect":
            pass
        self._gone = True
        if self._generation is not None:
            self._generation.disconnect()
