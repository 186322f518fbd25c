"""The ASGI application of one served model."""

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from paddock.engine.config import FrontendConfig
from paddock.server.errors import HANDLERS
from paddock.server.middleware.api_key import ApiKeys
from paddock.server.middleware.body_limit import BodyLimit
from paddock.server.middleware.http_metrics import HttpMetrics
from paddock.server.middleware.imported import wrap
from paddock.server.middleware.load import LoadTracking
from paddock.server.middleware.request_id import RequestId
from paddock.server.middleware.root_path import RootPath
from paddock.server.middleware.tracing import Tracing
from paddock.server.openapi import Application
from paddock.server.routes.selection import routers
from paddock.server.serving import Serving


def create_app(serving: Serving, frontend: FrontendConfig) -> ASGIApp:
    """Routes inside layers. The layers stand outside of FastAPI, so that its own error pages pass them, too."""
    document = None if frontend.disable_fastapi_docs else "/openapi.json"
    app = Application(title="Paddock", openapi_url=document, exception_handlers=HANDLERS)
    app.asks_for_key = bool(frontend.api_key)
    app.router.redirect_slashes = False
    app.state.serving = serving
    routes = list(app.routes)
    chosen = routers(
        frontend,
        open_development=serving.development is not None,
        pools=serving.pooling is not None,
        changes_adapters=serving.changes_adapters,
        sleeps=serving.sleeps,
    )
    for router in chosen:
        app.include_router(router)
        routes += router.routes
    app.state.routes = routes
    layers: ASGIApp = BodyLimit(app)
    if frontend.enable_server_load_tracking:
        layers = app.state.load = LoadTracking(layers)
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
    layers = HttpMetrics(wrap(layers, frontend.middleware), serving.metrics.series, routes)
    if serving.spans is not None:
        layers = Tracing(layers, serving.spans)
    return RequestId(RootPath(layers, frontend.root_path or ""), always=frontend.enable_request_id_headers)
