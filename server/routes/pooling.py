"""/pooling: vectors or scores, of whole inputs or of their tokens, as the model gives them; /classify: classes."""

from fastapi import APIRouter, Request, Response

from paddock.engine.pooling.params import PooledRows
from paddock.server.pooling.encoding import encode_inputs, most_embedded
from paddock.server.pooling.reply import open_turn
from paddock.server.protocol.pooling import ClassifyRequest, PoolingRequest
from paddock.server.protocol.pooling_replies import Classification, Pooled
from paddock.server.routes.embeddings import embedded, values_of

router = APIRouter()


@router.post("/pooling")
async def pooling(http: Request) -> Response:
    request, turn = await open_turn(http, PoolingRequest, "pool")
    task = request.task or turn.model.tasks[0]
    is_vector = not task.startswith("token_")
    activate = request.activation if task.endswith("classify") else request.normalize
    params = turn.model.params(task, dimensions=request.dimensions, activate=activate)
    context = turn.serving.limits.max_model_len
    most = most_embedded(turn.model, context) if task == "embed" else context
    inputs = await encode_inputs(request, turn.serving, most)
    results = await embedded(turn, inputs, params)
    data = [
        Pooled(index, values_of(rows, request.encoding_format, is_vector=is_vector))
        for index, rows in enumerate(results)
    ]
    return turn.reply(data, inputs)


@router.post("/classify")
async def classify(http: Request) -> Response:
    request, turn = await open_turn(http, ClassifyRequest, "classify")
    params = turn.model.params("classify", activate=request.activation, field="model")
    inputs = await encode_inputs(request, turn.serving)
    labels = turn.model.plan.labels
    results = await turn.run.results(inputs, params)
    return turn.reply([_class_of(index, rows, labels) for index, rows in enumerate(results)], inputs)


def _class_of(index: int, rows: PooledRows, labels: tuple[str, ...]) -> Classification:
    from paddock.server.pooling.rows import matrix_of

    probs: list[float] = matrix_of(rows)[0].tolist()
    best = max(range(len(labels)), key=probs.__getitem__)
    return Classification(index, labels[best], probs, len(labels))
