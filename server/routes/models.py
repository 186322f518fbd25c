"""/v1/models: the names that requests may use."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from paddock.server.serving import Serving

router = APIRouter()


@router.get("/v1/models")
async def list_models(http: Request) -> JSONResponse:
    serving: Serving = http.app.state.serving
    return JSONResponse({"object": "list", "data": [_card(name, serving) for name in serving.model_names]})


@router.get("/v1/models/{model_id:path}")
async def show_model(http: Request, model_id: str) -> JSONResponse:
    serving: Serving = http.app.state.serving
    return JSONResponse(_card(serving.model_name(model_id), serving))


def _card(name: str, serving: Serving) -> dict[str, Any]:
    return {
        "id": name,
        "object": "model",
        "created": serving.created,
        "owned_by": "paddock",
        "root": serving.root,
        "parent": None,
        "max_model_len": serving.limits.max_model_len,
    }
