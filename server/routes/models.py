"""/v1/models: the names that requests may use."""

from fastapi import APIRouter, Request, Response

from paddock.server.protocol.route_replies import ModelCard, ModelList
from paddock.server.routes.as_json import as_json
from paddock.server.serving import Serving

router = APIRouter()


@router.get("/v1/models")
async def list_models(http: Request) -> Response:
    serving: Serving = http.app.state.serving
    names = [*serving.model_names, *(adapter.name for adapter in serving.client.adapters.served)]
    return as_json(ModelList([_card(name, serving) for name in names]))


@router.get("/v1/models/{model_id:path}")
async def show_model(http: Request, model_id: str) -> Response:
    serving: Serving = http.app.state.serving
    return as_json(_card(serving.model_name(model_id), serving))


def _card(name: str, serving: Serving) -> ModelCard:
    longest, adapter = serving.limits.max_model_len, serving.client.adapters.find(name)
    if adapter is None or name in serving.model_names:
        return ModelCard(name, serving.created, serving.root, longest)
    parent = adapter.base_model_name or serving.model_names[0]
    return ModelCard(name, serving.created, adapter.path, longest, parent)
