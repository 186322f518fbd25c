"""Which routes this server has: some are open only when asked for, and are unknown otherwise."""

from fastapi import APIRouter

from paddock.engine.config import FrontendConfig
from paddock.server.routes import (
    adapters,
    chat,
    completions,
    development,
    embeddings,
    health,
    load,
    messages,
    models,
    pooling,
    responses,
    scores,
    sleep,
    stored_responses,
    tokens,
    worker_calls,
)
from paddock.server.routes.other_runner import TEXT_IS_ELSEWHERE, VECTORS_ARE_ELSEWHERE, refusing

GENERATING = [chat.router, completions.router, responses.router, stored_responses.router, messages.router]
POOLING = [embeddings.router, pooling.router, scores.router]


def routers(
    frontend: FrontendConfig,
    *,
    open_development: bool,
    pools: bool = False,
    changes_adapters: bool = False,
    sleeps: bool = False,
) -> list[APIRouter]:
    """`pools` says whether the model is served by the pooling runner; the routes of the other runner are refused."""
    chosen = [*POOLING, refusing(GENERATING, TEXT_IS_ELSEWHERE)]
    if not pools:
        chosen = [*GENERATING, refusing(POOLING, VECTORS_ARE_ELSEWHERE)]
    chosen += [models.router, health.router, tokens.router]
    if frontend.enable_tokenizer_info_endpoint:
        chosen.append(tokens.info_router)
    if frontend.enable_server_load_tracking:
        chosen.append(load.router)
    if changes_adapters:
        chosen.append(adapters.router)
    if open_development:
        chosen += [development.router, worker_calls.router]
        if sleeps:
            chosen.append(sleep.router)
    return chosen
