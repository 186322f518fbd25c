"""Which routes this server has: some are open only when asked for, and are unknown otherwise."""

from fastapi import APIRouter

from paddock.engine.config import FrontendConfig
from paddock.server.routes import chat, completions, development, health, load, models, tokens


def routers(frontend: FrontendConfig, *, open_development: bool) -> list[APIRouter]:
    chosen = [chat.router, completions.router, models.router, health.router, tokens.router]
    if frontend.enable_tokenizer_info_endpoint:
        chosen.append(tokens.info_router)
    if frontend.enable_server_load_tracking:
        chosen.append(load.router)
    if open_development:
        chosen.append(development.router)
    return chosen
