"""docs/api.md names every route and every request field, and no other."""

import re
from pathlib import Path

import pytest
from fastapi import APIRouter
from pydantic import BaseModel

from paddock.engine.config import FrontendConfig
from paddock.server.protocol import messages, responses
from paddock.server.protocol.adapters import LoadAdapterRequest, UnloadAdapterRequest
from paddock.server.protocol.chat import ChatRequest
from paddock.server.protocol.completions import CompletionRequest
from paddock.server.protocol.messages import CountTokensRequest, MessagesRequest
from paddock.server.protocol.pooling import (
    ClassifyRequest,
    EmbeddingRequest,
    PoolingRequest,
    RerankRequest,
    ScoreRequest,
)
from paddock.server.protocol.responses import CountRequest, ResponseRequest
from paddock.server.protocol.tokens import DetokenizeRequest, TokenizeMessages, TokenizeText
from paddock.server.protocol.unsupported import NO_EFFECT, NOTHING_ASKED
from paddock.server.routes.selection import routers

PAGE = (Path(__file__).parents[3] / "docs/api.md").read_text()
REQUESTS: list[type[BaseModel]] = [
    ChatRequest, CompletionRequest, TokenizeText, TokenizeMessages, DetokenizeRequest, EmbeddingRequest,
    PoolingRequest, ClassifyRequest, ScoreRequest, RerankRequest, ResponseRequest, CountRequest, MessagesRequest,
    CountTokensRequest, LoadAdapterRequest, UnloadAdapterRequest,
]  # fmt: skip


def section(title: str) -> str:
    return re.split(r"^## ", PAGE.partition(f"## {title}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]


def first_cells(text: str) -> set[str]:
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    return {name for cell in rows for name in re.findall(r"`([^`]+)`", cell)}


def test_the_page_names_every_request_field_and_no_other() -> None:
    fields = {name for request in REQUESTS for name in request.model_fields}
    assert first_cells(section("Request fields that work")) == fields


@pytest.mark.parametrize(
    ("title", "names"), [("Accepted without effect", NO_EFFECT), ("Refused by name", set(NOTHING_ASKED))]
)
def test_the_page_names_what_has_no_effect_and_what_is_refused(title: str, names: set[str]) -> None:
    assert set(re.findall(r"`(\w+)`", section(title))) == names


@pytest.mark.parametrize(
    ("api", "names"),
    [("Responses", {*responses.NO_EFFECT, *responses.REFUSED}), ("Messages", messages.NO_EFFECT)],
)
def test_the_page_says_what_is_read_without_effect_there(api: str, names: set[str]) -> None:
    text = section("Request fields that work").partition(f"### {api}\n")[2].partition("\n### ")[0]
    prose = " ".join(line for line in text.splitlines() if not line.startswith("|"))
    assert names <= set(re.findall(r"`(\w+)`", prose))


def test_the_page_names_every_route_and_no_other() -> None:
    opened = FrontendConfig(enable_tokenizer_info_endpoint=True, enable_server_load_tracking=True)
    chosen = routers(opened, open_development=True, changes_adapters=True, sleeps=True)
    paths = {path for router in chosen for path in paths_of(router)}
    paths |= {"/openapi.json", "/docs", "/redoc"}
    named = {cell.split()[-1] for cell in first_cells(section("Routes"))}
    assert {re.sub(r"{\w+(:path)?}", "{id}", path) for path in paths} == named - {"GET"}


def paths_of(router: APIRouter) -> set[str]:
    return {getattr(route, "path", "") for route in router.routes}
