"""Routes of the runner that this server does not have: known, and refused with the reason."""

from collections.abc import Iterable

from fastapi import APIRouter, Request
from fastapi.routing import APIRoute

from paddock.server.errors import bad_request

TEXT_IS_ELSEWHERE = (
    "This server runs a model with --runner pooling: it answers /v1/embeddings, /pooling, /classify, /score and "
    "/rerank, as far as the model goes, and generates no text. Start one with --runner generate for that."
)
VECTORS_ARE_ELSEWHERE = (
    "This server runs a model with --runner generate: it has no vectors and no scores. Start one with --runner pooling, "
    "and --convert embed or classify where the model was made to generate."
)


def refusing(routers: Iterable[APIRouter], reason: str) -> APIRouter:
    """The same paths and methods, each answered with ApiError 400."""

    async def refuse(http: Request) -> None:
        raise bad_request(reason, "model")

    refusals = APIRouter()
    for router in routers:
        for route in router.routes:
            assert isinstance(route, APIRoute)
            refusals.add_api_route(route.path, refuse, methods=sorted(route.methods or ()), name=route.name)
    return refusals
