"""/v1/models: the names that requests may use."""

from fastapi import APIRouter, Request, Response

from paddock.server.protocol.route_replies import ModelCard, ModelList
from paddock.server.routes.as_json import as_json
from paddock.server.serving import Serving

router = APIRouter()


@router.get("/v1/models")
async def list_models(http: Request) -> Response:
    serving: Serving = http.app.state.serving
    return as_json(ModelList([_card(name, serving) for name in serving.model_names]))


@router.get("/v1/models/{model_id:path}")
async def show_model(http: Request, model_id: str) -> Response:
    serving: Serving = http.app.state.serving
    return as_json(_card(serving.model_name(model_id), serving))


def _card(name: str, serving: Serving) -> ModelCard:
    return ModelCard(name, serving.created, serving.root, serving.limits.max_model_len)
