"""Routes of `--enable-sleep-mode`, for development: the engine gives its memory back, and takes it again."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from paddock.server.errors import ApiError
from paddock.server.protocol.route_replies import IsSleeping
from paddock.server.routes.as_json import as_json
from paddock.server.serving import Serving

router = APIRouter()


@router.post("/sleep")
async def sleep(
    http: Request,
    level: Annotated[
        int, Query(ge=1, le=2, description="1 gives the KV cache back, 2 the weights as well.")
    ] = 1,
) -> Response:
    """Refuse new requests, finish those that run, and give memory back; answered when that is done."""
    serving: Serving = http.app.state.serving
    await serving.client.sleep(level)
    return Response(status_code=200)


@router.post("/wake_up")
async def wake_up(http: Request) -> Response:
    """Take the memory again, and load the weights where they were given back; answered when requests are served."""
    if "tags" in http.query_params:
        raise ApiError(400, "tags is not supported: the engine wakes up as a whole; leave it out.", "tags")
    serving: Serving = http.app.state.serving
    await serving.client.wake_up()
    return Response(status_code=200)


@router.get("/is_sleeping")
async def is_sleeping(http: Request) -> Response:
    """Whether any engine of this server is asleep."""
    serving: Serving = http.app.state.serving
    return as_json(IsSleeping(serving.client.is_sleeping))
