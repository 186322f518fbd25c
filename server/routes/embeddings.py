"""/v1/embeddings"""

from collections.abc import Sequence

from fastapi import APIRouter, Request, Response

from paddock.engine.pooling.params import PooledRows, PoolingParams
from paddock.server.pooling.encoding import encode_inputs, most_embedded
from paddock.server.pooling.reply import Turn, open_turn
from paddock.server.protocol.pooling import EmbeddingRequest
from paddock.server.protocol.pooling_replies import Embedding, Values
from paddock.server.tokens.inputs import EncodedInput

router = APIRouter()


@router.post("/v1/embeddings")
async def embeddings(http: Request) -> Response:
    request, turn = await open_turn(http, EmbeddingRequest, "embd")
    params = turn.model.params(
        "embed", dimensions=request.dimensions, activate=request.normalize, field="model"
    )
    most = most_embedded(turn.model, turn.serving.limits.max_model_len)
    inputs = await encode_inputs(request, turn.serving, most)
    vectors = await embedded(turn, inputs, params)
    data = [
        Embedding(index, values_of(vector, request.encoding_format, is_vector=True))
        for index, vector in enumerate(vectors)
    ]
    return turn.reply(data, inputs)


async def embedded(turn: Turn, inputs: Sequence[EncodedInput], params: PoolingParams) -> list[PooledRows]:
    """One vector for each input, whatever its length."""
    context = turn.serving.limits.max_model_len
    if all(len(each.token_ids) <= context for each in inputs):
        return await turn.run.results(inputs, params)
    from paddock.server.pooling.rows import mean_of_pieces

    pieces = [_pieces(each.token_ids, context) for each in inputs]
    found = iter(await turn.run.results([piece for parts in pieces for piece in parts], params))
    return [
        mean_of_pieces([next(found) for _ in parts], [len(part.token_ids) for part in parts], params.activate)
        for parts in pieces
    ]


def _pieces(token_ids: list[int], size: int) -> list[EncodedInput]:
    return [EncodedInput(token_ids[start : start + size]) for start in range(0, len(token_ids), size)]


def values_of(rows: PooledRows, encoding: str, *, is_vector: bool) -> Values:
    """As the request wants the numbers."""
    from paddock.server.pooling.rows import as_base64, matrix_of

    if encoding == "base64":
        return as_base64(rows)
    lists: list[list[float]] = matrix_of(rows).tolist()
    return lists[0] if is_vector else lists
