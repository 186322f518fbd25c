"""/score and /rerank: how well two texts go together, by a model that reads both at once, or by their vectors."""

from collections.abc import Sequence

from fastapi import APIRouter, Request, Response

from paddock.server.errors import bad_request
from paddock.server.pooling.encoding import encode_pairs, encode_texts
from paddock.server.pooling.reply import Turn, open_turn
from paddock.server.protocol.pooling import ActivatedFields, RerankRequest, ScoreRequest
from paddock.server.protocol.pooling_replies import Ranked, RankedText, Score
from paddock.server.tokens.inputs import EncodedInput

router = APIRouter()


@router.post("/score")
@router.post("/v1/score")
async def score(http: Request) -> Response:
    request, turn = await open_turn(http, ScoreRequest, "score")
    scores, inputs = await _scores(turn, request, request.firsts, request.seconds, ("text_1", "text_2"))
    return turn.reply([Score(index, value) for index, value in enumerate(scores)], inputs)


@router.post("/rerank")
@router.post("/v1/rerank")
@router.post("/v2/rerank")
async def rerank(http: Request) -> Response:
    """Best first; equals in the order of the request."""
    request, turn = await open_turn(http, RerankRequest, "rerank")
    texts = [document.text for document in request.documents]
    scores, inputs = await _scores(turn, request, [request.query], texts, ("query", "documents"))
    order = sorted(range(len(texts)), key=lambda index: -scores[index])[: request.top_n or None]
    results = [
        Ranked(index, scores[index], RankedText(texts[index]) if request.return_documents else None)
        for index in order
    ]
    return turn.ranking(results, inputs)


async def _scores(
    turn: Turn, request: ActivatedFields, firsts: list[str], seconds: list[str], fields: tuple[str, str]
) -> tuple[list[float], list[EncodedInput]]:
    """One for each of `seconds`; `firsts` are as many, or one for all. Raises ApiError 400."""
    if turn.model.is_cross_encoder:
        return await _read_together(turn, request, firsts, seconds, fields[1])
    if turn.model.compares_vectors:
        return await _compared(turn, request, firsts, seconds, fields)
    raise bad_request(
        f"model: this one serves {' and '.join(turn.model.tasks)} with {len(turn.model.plan.labels)} classes; two "
        "texts are scored by a model with a single class, or by one that embeds.",
        "model",
    )


async def _read_together(
    turn: Turn, request: ActivatedFields, firsts: Sequence[str], seconds: Sequence[str], field: str
) -> tuple[list[float], list[EncodedInput]]:
    from paddock.server.pooling.rows import matrix_of

    params = turn.model.params("classify", activate=request.activation)
    every = firsts if len(firsts) == len(seconds) else [firsts[0]] * len(seconds)
    inputs = await encode_pairs(request, every, seconds, field, turn.serving)
    return [float(matrix_of(rows)[0, 0]) for rows in await turn.run.results(inputs, params)], inputs


async def _compared(
    turn: Turn,
    request: ActivatedFields,
    firsts: Sequence[str],
    seconds: Sequence[str],
    fields: tuple[str, str],
) -> tuple[list[float], list[EncodedInput]]:
    from paddock.server.pooling.rows import cosines

    params = turn.model.params("embed", activate=True)
    inputs = await encode_texts(request, firsts, fields[0], turn.serving)
    inputs += await encode_texts(request, seconds, fields[1], turn.serving)
    vectors = await turn.run.results(inputs, params)
    left, right = vectors[: len(firsts)], vectors[len(firsts) :]
    return cosines(left if len(left) == len(right) else left * len(right), right), inputs
