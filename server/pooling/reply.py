"""What the routes of a pooling server share: reading a request, and the envelope of its answer."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar
from uuid import uuid4

import msgspec
from fastapi import Request, Response

from paddock.server.middleware.request_id import rename_request
from paddock.server.pooling.pooling_model import PoolingModel
from paddock.server.pooling.run import PoolingRun
from paddock.server.protocol.parsing import parse_request
from paddock.server.protocol.pooling import PoolingFields
from paddock.server.protocol.pooling_replies import (
    Classification,
    Embedding,
    Pooled,
    PoolingReply,
    PoolingUsage,
    Ranked,
    RerankReply,
    Score,
)
from paddock.server.serving import Serving
from paddock.server.tokens.inputs import EncodedInput

Fields = TypeVar("Fields", bound=PoolingFields)


@dataclass(frozen=True, slots=True)
class Turn:
    """One request on its way."""

    id: str
    model_name: str
    serving: Serving
    model: PoolingModel
    run: PoolingRun

    def reply(
        self,
        data: list[Embedding] | list[Pooled] | list[Classification] | list[Score],
        inputs: Sequence[EncodedInput],
    ) -> Response:
        return _json(PoolingReply(self.id, int(time.time()), self.model_name, data, usage_of(inputs)))

    def ranking(self, results: list[Ranked], inputs: Sequence[EncodedInput]) -> Response:
        return _json(RerankReply(self.id, self.model_name, usage_of(inputs), results))


async def open_turn(http: Request, kind: type[Fields], prefix: str) -> tuple[Fields, Turn]:
    """Raises ApiError for a body that is wrong, or when no work is taken now."""
    serving: Serving = http.app.state.serving
    serving.client.refuse_if_unavailable()
    request = parse_request(kind, await http.body(), http.headers.get("content-type"))
    name = serving.model_name(request.model)
    assert serving.pooling is not None, "these routes are a pooling server's"
    if request.request_id is not None:
        rename_request(http.scope, request.request_id)
    run = PoolingRun(http, serving, serving.pooling, request.priority, name)
    unique = request.request_id or uuid4().hex
    return request, Turn(f"{prefix}-{unique}", name, serving, serving.pooling, run)


def usage_of(inputs: Sequence[EncodedInput]) -> PoolingUsage:
    count = sum(len(each.token_ids) for each in inputs)
    return PoolingUsage(count, count)


def _json(reply: PoolingReply | RerankReply) -> Response:
    return Response(msgspec.json.encode(reply), media_type="application/json")
