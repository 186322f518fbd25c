"""Adapters over HTTP: served as models, loaded and unloaded while the server runs, told in a metric."""

import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from echo_engine import EchoEngine
from prometheus_client.parser import text_string_to_metric_families

from paddock.engine.lora.adapter import Adapter
from paddock.engine.messages import AdapterAnswer, EngineStats
from paddock.server.metric_table import ADAPTERS

LOAD, UNLOAD = "/v1/load_lora_adapter", "/v1/unload_lora_adapter"


@pytest.fixture
def api(start_server: Callable[..., Any], engine: EchoEngine) -> httpx.Client:
    """Of a server whose engine serves `sql` from its start."""
    engine.adapters = {"sql": Adapter(1, "sql", "/adapters/sql", "some/base")}
    return httpx.Client(base_url=start_server(changes_adapters=True).url)


def names(api: httpx.Client) -> list[str]:
    return [card["id"] for card in api.get("/v1/models").json()["data"]]


def test_adapters_are_listed_behind_the_names_of_their_model(api: httpx.Client) -> None:
    api.post(LOAD, json={"lora_name": "poems", "lora_path": "/adapters/poems"})

    cards = {card["id"]: card for card in api.get("/v1/models").json()["data"]}

    assert list(cards) == ["tiny", "alias", "sql", "poems"]
    assert (cards["sql"]["root"], cards["sql"]["parent"]) == ("/adapters/sql", "some/base")
    assert (cards["poems"]["root"], cards["poems"]["parent"]) == ("/adapters/poems", "tiny")
    assert cards["tiny"]["parent"] is None
    assert api.get("/v1/models/sql").json() == cards["sql"]


CHAT = {"messages": [{"role": "user", "content": "a"}], "max_tokens": 2}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/completions", {"prompt": "a", "max_tokens": 2, "n": 2}),
        ("/v1/completions", {"prompt": "a", "max_tokens": 2, "n": 2, "use_beam_search": True}),
        ("/v1/chat/completions", CHAT),
        ("/v1/responses", {"input": "a", "max_output_tokens": 2}),
        ("/v1/messages", CHAT),
    ],
)
def test_a_request_chooses_an_adapter_by_the_name_of_the_model(
    api: httpx.Client, engine: EchoEngine, path: str, body: dict[str, Any]
) -> None:
    reply = api.post(path, json={"model": "sql", **body})
    assert (reply.status_code, reply.json()["model"]) == (200, "sql")
    assert {request.adapter for request in engine.seen} == {"sql"}

    engine.seen.clear()
    api.post(path, json={"model": "alias", **body})
    assert {request.adapter for request in engine.seen} == {None}


def test_an_adapter_is_loaded_and_unloaded_while_the_server_runs(api: httpx.Client) -> None:
    loaded = api.post(LOAD, json={"lora_name": "poems", "lora_path": "/adapters/poems"})
    assert (loaded.status_code, loaded.text) == (200, "Success: the LoRA adapter 'poems' is loaded.")
    assert "poems" in names(api)

    unloaded = api.post(UNLOAD, json={"lora_name": "poems"})
    assert (unloaded.status_code, unloaded.text) == (200, "Success: the LoRA adapter 'poems' is unloaded.")
    assert "poems" not in names(api)

    reply = api.post("/v1/completions", json={"model": "poems", "prompt": "a"})
    assert (reply.status_code, reply.json()["error"]["param"]) == (404, "model")


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        (LOAD, {"lora_name": "tiny", "lora_path": "/x"}, 400, "'tiny' is the name of the base model"),
        (LOAD, {"lora_name": "new"}, 400, "lora_path"),
        (LOAD, {"lora_path": "/x"}, 400, "lora_name"),
        (LOAD, {"lora_name": "new", "lora_path": "/x", "rank": 3}, 400, "rank"),
        (UNLOAD, {"lora_name": "nobody"}, 404, "There is no adapter 'nobody'"),
    ],
)
def test_a_wrong_order_is_refused_and_changes_nothing(
    api: httpx.Client, path: str, body: dict[str, Any], status: int, words: str
) -> None:
    reply = api.post(path, json=body)

    assert (reply.status_code, reply.json()["error"]["code"]) == (status, status)
    assert words in reply.json()["error"]["message"]
    assert names(api) == ["tiny", "alias", "sql"]


def test_what_the_engine_says_of_an_adapter_reaches_the_caller(api: httpx.Client, engine: EchoEngine) -> None:
    engine.adapter_fault = AdapterAnswer(400, "The adapter 'new' cannot be loaded. r is 99.")

    reply = api.post(LOAD, json={"lora_name": "new", "lora_path": "/x"})

    assert reply.status_code == 400
    assert reply.json()["error"]["message"] == "The adapter 'new' cannot be loaded. r is 99."


def test_the_routes_are_closed_unless_they_are_opened(http: httpx.Client) -> None:
    assert http.post(LOAD, json={"lora_name": "a", "lora_path": "b"}).status_code == 404
    assert http.post(UNLOAD, json={"lora_name": "a"}).status_code == 404


def test_the_metric_names_running_and_waiting_adapters(server: Any) -> None:
    server.metrics.max_loras = 2
    server.metrics.stats = EngineStats(2, 1, 0.1, 0, 0, 0, 0, 0, ["b", "a"], ["c"])

    text = httpx.get(server.url + "/metrics").text
    [family] = [each for each in text_string_to_metric_families(text) if each.name == ADAPTERS]

    [sample] = family.samples
    assert family.type == "gauge"
    assert sample.labels == {
        "max_lora": "2",
        "running_lora_adapters": "a,b",
        "waiting_lora_adapters": "c",
    }
    assert sample.value == pytest.approx(time.time(), abs=60)
