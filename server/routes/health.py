"""Open routes: /health (would a new request be served), /ping (is the process sound), /version, /metrics."""

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST

from paddock import __version__
from paddock.server.errors import unavailable
from paddock.server.protocol.route_replies import ServerVersion
from paddock.server.routes.as_json import as_json
from paddock.server.serving import Serving

router = APIRouter()
OPEN_PATHS = frozenset(("/health", "/ping", "/version", "/metrics"))
"""Answered without a key: probes and scrapers have none."""


@router.get("/health")
async def health(http: Request) -> Response:
    serving: Serving = http.app.state.serving
    serving.client.refuse_if_unavailable()
    return _sound(serving)


@router.api_route("/ping", methods=["GET", "POST"])
async def ping(http: Request) -> Response:
    """Stays 200 while draining: a server that finishes its streams must not be killed for it."""
    return _sound(http.app.state.serving)


@router.get("/version")
async def version() -> Response:
    return as_json(ServerVersion(__version__))


@router.get("/metrics")
async def metrics(http: Request) -> Response:
    serving: Serving = http.app.state.serving
    return Response(serving.metrics.render(), media_type=CONTENT_TYPE_LATEST)


def _sound(serving: Serving) -> Response:
    reason = serving.client.failure
    if reason is not None:
        raise unavailable(f"Not healthy: {reason}.")
    return Response(status_code=200)
