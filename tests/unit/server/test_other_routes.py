"""/tokenize, /detokenize, /tokenizer_info, /load and the development routes."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

HELLO: Any = [{"role": "user", "content": "hi"}]


def test_text_becomes_tokens_and_text_again(http: httpx.Client, tokenizer: Any) -> None:
    text = "Grüße 日本語 🙂 fox"
    reply = http.post("/tokenize", json={"model": "alias", "prompt": text, "return_token_strs": True}).json()
    assert reply["tokens"] == tokenizer.encode(text, True)
    assert (reply["count"], reply["max_model_len"]) == (len(reply["tokens"]), 256)
    assert len(reply["token_strs"]) == reply["count"]
    assert http.post("/detokenize", json={"tokens": reply["tokens"]}).json() == {"prompt": text}


def test_messages_are_tokenized_as_a_chat_would_be(http: httpx.Client, engine: Any) -> None:
    for fields in ({}, {"add_generation_prompt": False}, {"chat_template_kwargs": {"mood": "glad"}}):
        http.post("/v1/chat/completions", json={"messages": HELLO, "max_tokens": 1, **fields})
        reply = http.post("/tokenize", json={"messages": HELLO, **fields}).json()
        assert reply["tokens"] == engine.seen[-1].prompt_token_ids
        assert reply["token_strs"] is None


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/tokenize", {}, "prompt"),
        ("/tokenize", {"prompt": 3}, "prompt"),
        ("/tokenize", {"prompt": "a", "surprise": 1}, "surprise"),
        ("/tokenize", {"messages": []}, "messages"),
        ("/tokenize", {"messages": HELLO, "prompt": "a"}, "prompt"),
        ("/tokenize", {"messages": HELLO, "chat_template": "x"}, "chat_template"),
        ("/tokenize", {"prompt": "x" * 1_000_000}, "prompt"),
        ("/detokenize", {}, "tokens"),
        ("/detokenize", {"tokens": "abc"}, "tokens"),
        ("/detokenize", {"tokens": [1, "a"]}, "tokens"),
        ("/detokenize", {"tokens": [-1]}, "tokens"),
        ("/detokenize", {"tokens": [2**70]}, "tokens"),
        ("/detokenize", {"tokens": [500]}, "tokens"),
    ],
)
def test_a_bad_request_names_its_field(
    shared_http: httpx.Client, path: str, body: dict[str, Any], param: str
) -> None:
    reply = shared_http.post(path, json=body)
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, param), reply.text


def test_an_unknown_model_has_no_tokenizer_here(shared_http: httpx.Client) -> None:
    for path, body in (("/tokenize", {"prompt": "a"}), ("/detokenize", {"tokens": [1]})):
        assert shared_http.post(path, json={**body, "model": "other"}).status_code == 404


@pytest.mark.parametrize("path", ["/tokenizer_info", "/load", "/server_info"])
def test_routes_that_nobody_opened_do_not_exist(shared_http: httpx.Client, path: str) -> None:
    assert shared_http.get(path).status_code == 404
    assert shared_http.post("/reset_prefix_cache").status_code == 404


def test_tokenizer_info_shows_the_template_in_force(start_server: Callable[..., Any]) -> None:
    url = start_server(enable_tokenizer_info_endpoint=True, chat_template="{{ 'mine' }}", api_key=("k",)).url
    assert httpx.get(url + "/tokenizer_info").status_code == 401
    info = httpx.get(url + "/tokenizer_info", headers={"authorization": "Bearer k"}).json()
    assert info["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert (info["eos_token"], info["chat_template"]) == ("<|im_end|>", "{{ 'mine' }}")


def test_load_counts_requests_in_flight(
    start_server: Callable[..., Any], engine: Any, eventually: Callable[..., None]
) -> None:
    engine.hold_after = 2
    url = start_server(enable_server_load_tracking=True).url

    def load() -> int:
        return int(httpx.get(url + "/load").json()["server_load"])

    def ask(stream: bool) -> int:
        return httpx.post(url + "/v1/completions", json={"prompt": "a", "stream": stream}).status_code

    assert load() == 0
    with ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(ask, stream) for stream in (False, True, True)]
        eventually(lambda: load() == 3)
        engine.hold_after = None
        assert [each.result(20) for each in asked] == [200] * 3
    eventually(lambda: load() == 0)


def test_a_refused_and_an_abandoned_request_no_longer_count(
    start_server: Callable[..., Any], engine: Any, eventually: Callable[..., None]
) -> None:
    engine.hold_after = 1
    url = start_server(enable_server_load_tracking=True).url
    httpx.post(url + "/v1/completions", json={"prompt": 3})
    with httpx.stream("POST", url + "/v1/completions", json={"prompt": "a", "stream": True}) as reply:
        read = reply.iter_raw()
        next(read)
        assert httpx.get(url + "/load").json() == {"server_load": 1}
    eventually(lambda: httpx.get(url + "/load").json() == {"server_load": 0})


def test_development_mode_shows_the_configuration_and_resets_the_cache(
    start_server: Callable[..., Any], engine: Any, eventually: Callable[..., None]
) -> None:
    url = start_server(development={"max-model-len": {"value": "256", "origin": "derived"}}).url
    assert httpx.get(url + "/server_info").json()["config"]["max-model-len"]["value"] == "256"
    assert httpx.post(url + "/reset_prefix_cache").status_code == 200
    eventually(lambda: engine.resets == 1)
