"""The ASGI application of one served model."""

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from paddock.engine.config import FrontendConfig
from paddock.server.errors import HANDLERS
from paddock.server.middleware.api_key import ApiKeys
from paddock.server.middleware.body_limit import BodyLimit
from paddock.server.middleware.request_id import RequestId
from paddock.server.middleware.root_path import RootPath
from paddock.server.routes import chat, completions, health, models
from paddock.server.serving import Serving


def create_app(serving: Serving, frontend: FrontendConfig) -> ASGIApp:
    """Routes inside layers. The layers stand outside of FastAPI, so that its own error pages pass them, too."""
    # Requests are read by our own strict models, so a generated schema page would show empty bodies: none is made.
    app = FastAPI(title="Paddock", openapi_url=None, exception_handlers=HANDLERS)
    app.router.redirect_slashes = False
    app.state.serving = serving
    for family in (chat, completions, models, health):
        app.include_router(family.router)
    layers: ASGIApp = BodyLimit(app)
    if frontend.api_key:
        layers = ApiKeys(layers, frontend.api_key)
    layers = CORSMiddleware(
        layers,
        allow_origins=frontend.allowed_origins,
        allow_methods=frontend.allowed_methods,
        allow_headers=frontend.allowed_headers,
        allow_credentials=frontend.allow_credentials,
        expose_headers=["x-request-id"],
    )
    return RequestId(RootPath(layers, frontend.root_path or ""))
