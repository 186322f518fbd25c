"""Routes for development, registered when PADDOCK_SERVER_DEV_MODE is 1: they show and change what users should not."""

from fastapi import APIRouter, Request, Response

from paddock.server.protocol.route_replies import ServerInfo
from paddock.server.routes.as_json import as_json
from paddock.server.serving import Serving

router = APIRouter()


@router.get("/server_info")
async def server_info(http: Request) -> Response:
    """The effective configuration, without secrets."""
    serving: Serving = http.app.state.serving
    assert serving.development is not None, "else this route is closed"
    return as_json(ServerInfo(dict(serving.development)))


@router.post("/reset_prefix_cache")
async def reset_prefix_cache(http: Request) -> Response:
    """Forget every cached block that no running request uses."""
    serving: Serving = http.app.state.serving
    serving.client.reset_prefix_cache()
    return Response(status_code=200)
