"""/v1/load_lora_adapter, /v1/unload_lora_adapter: open when PADDOCK_ALLOW_RUNTIME_LORA_UPDATING is 1."""

from fastapi import APIRouter, Request, Response

from paddock.engine.messages import LoadAdapter, UnloadAdapter
from paddock.server.errors import bad_request
from paddock.server.protocol.adapters import LoadAdapterRequest, UnloadAdapterRequest
from paddock.server.protocol.parsing import parse_request
from paddock.server.serving import Serving

router = APIRouter()


@router.post("/v1/load_lora_adapter")
async def load_lora_adapter(http: Request) -> Response:
    """Answers once every engine serves it."""
    serving: Serving = http.app.state.serving
    serving.client.refuse_if_unavailable()
    request = parse_request(LoadAdapterRequest, await http.body(), http.headers.get("content-type"))
    name = request.lora_name
    if name in serving.model_names:
        raise bad_request(f"lora_name: {name!r} is the name of the base model; choose another.", "lora_name")
    order = LoadAdapter(name, request.lora_path, request.base_model_name, request.load_inplace)
    await serving.client.adapters.load(order)
    return _success(f"the LoRA adapter {name!r} is loaded.")


@router.post("/v1/unload_lora_adapter")
async def unload_lora_adapter(http: Request) -> Response:
    """Requests that have come are answered to their end."""
    serving: Serving = http.app.state.serving
    serving.client.refuse_if_unavailable()
    request = parse_request(UnloadAdapterRequest, await http.body(), http.headers.get("content-type"))
    await serving.client.adapters.unload(UnloadAdapter(request.lora_name))
    return _success(f"the LoRA adapter {request.lora_name!r} is unloaded.")


def _success(text: str) -> Response:
    return Response(f"Success: {text}", media_type="text/plain")
