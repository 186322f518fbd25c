"""/load: registered when --enable-server-load-tracking is given."""

from fastapi import APIRouter, Request, Response

from paddock.server.middleware.load import LoadTracking
from paddock.server.protocol.route_replies import ServerLoad
from paddock.server.routes.as_json import as_json

router = APIRouter()


@router.get("/load")
async def load(http: Request) -> Response:
    tracking: LoadTracking = http.app.state.load
    return as_json(ServerLoad(tracking.in_flight))
