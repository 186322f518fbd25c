"""How requests for vectors reach the engine, and which server answers them. Results are tested with a real model."""

import json
import logging
import socket
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest

from paddock.engine.pooling.plan import PoolingPlan
from paddock.server.pooling.pooling_model import PoolingModel
from paddock.server.tokens.inputs import kept_lengths

PLAN = PoolingPlan(
    task="embed", body="BertModel", causal=False, head="none", base_prefix="bert.", pooling="MEAN",
    hidden_size=64,
)  # fmt: skip
FOUR_AT_ONCE = PoolingModel(PLAN, 4)


def send(server: Any, body: dict[str, Any]) -> socket.socket:
    """The connection of a request that has not been answered."""
    text = json.dumps(body).encode()
    caller = socket.create_connection(("127.0.0.1", server.port))
    head = f"POST /v1/embeddings HTTP/1.1\r\nHost: x\r\nContent-Length: {len(text)}\r\n\r\n"
    caller.sendall(head.encode() + text)
    return caller


def test_a_long_list_takes_no_more_of_the_engine_than_it_computes_and_ends_with_its_caller(
    start_server: Callable[..., Any], engine: Any, eventually: Callable[..., None]
) -> None:
    engine.hold_after = 0
    server = start_server(pooling=FOUR_AT_ONCE)
    with send(server, {"input": [[5, 6]] * 10}):
        eventually(lambda: len(engine.seen) == 4)
        assert server.client.num_sequences == 4
    eventually(lambda: len(engine.aborted) == 4)
    assert len(engine.seen) == 4
    assert engine.seen[0].pooling.pooling == "MEAN"


def test_requests_are_logged_with_what_they_ask_for(
    start_server: Callable[..., Any], engine: Any, eventually: Callable[..., None], caplog: Any
) -> None:
    engine.hold_after = 0
    server = start_server(pooling=FOUR_AT_ONCE, log_requests=True)
    with caplog.at_level(logging.INFO), send(server, {"input": [[5, 6]]}):
        eventually(lambda: '"pooling":"MEAN"' in caplog.text)


@pytest.mark.parametrize("path", ["/v1/embeddings", "/pooling", "/classify", "/v1/score", "/v2/rerank"])
def test_a_server_that_generates_has_no_vectors_and_says_which_runner_has(
    shared_http: httpx.Client, path: str
) -> None:
    reply = shared_http.post(path, json={"input": "a"})
    assert reply.status_code == 400
    assert "--runner pooling" in reply.json()["error"]["message"]


@pytest.mark.parametrize(
    ("first", "second", "room", "kept"),
    [(3, 4, 10, (3, 4)), (9, 2, 8, (6, 2)), (2, 9, 8, (2, 6)), (9, 9, 7, (4, 3)), (5, 0, 3, (3, 0)), (5, 5, 0, (0, 0))],
)  # fmt: skip
def test_the_longer_text_of_a_pair_gives_way_first(
    first: int, second: int, room: int, kept: tuple[int, int]
) -> None:
    assert kept_lengths(first, second, room) == kept


@pytest.mark.parametrize(
    ("changes", "tasks"),
    [
        ({}, ("embed", "token_embed")),
        ({"pooling": "ALL"}, ("token_embed",)),
        ({"task": "classify", "head": "score"}, ("classify", "token_classify")),
        ({"task": "classify", "head": "bert"}, ("classify",)),
        ({"task": "reward", "head": "tokens", "pooling": "STEP"}, ("token_classify",)),
    ],
)
def test_the_plan_of_the_model_says_which_tasks_it_has(
    changes: dict[str, Any], tasks: tuple[str, ...]
) -> None:
    assert PoolingModel(replace(PLAN, **changes), 4).tasks == tasks
