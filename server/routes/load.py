"""/load: registered when --enable-server-load-tracking is given."""

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from paddock.server.middleware.load import LoadTracking

router = APIRouter()


@router.get("/load")
async def load(http: Request) -> JSONResponse:
    tracking: LoadTracking = http.app.state.load
    return JSONResponse({"server_load": tracking.in_flight})
