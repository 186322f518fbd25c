"""Server flags that change what replies hold: usage, roles, tokens as ids."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

CHAT = "/v1/chat/completions"
TEXT = "/v1/completions"
HELLO: Any = [{"role": "user", "content": "hi"}]


def events(response: httpx.Response) -> list[dict[str, Any]]:
    assert response.status_code == 200, response.text
    lines = [line for line in response.text.split("\n\n") if line.startswith("data: {")]
    return [json.loads(line.removeprefix("data: ")) for line in lines]


def test_every_stream_carries_running_usage_when_forced(start_server: Callable[..., Any]) -> None:
    url = start_server(enable_force_include_usage=True).url
    for path, prompt in ((CHAT, {"messages": HELLO}), (TEXT, {"prompt": "a"})):
        chunks = events(httpx.post(url + path, json={**prompt, "stream": True, "max_tokens": 3}))
        assert chunks[-1]["choices"] == []
        assert chunks[-1]["usage"]["completion_tokens"] == 3
        assert chunks[-2]["usage"]["completion_tokens"] == 3


def test_the_official_client_reads_cached_tokens_when_they_are_told(
    start_server: Callable[..., Any],
) -> None:
    url = start_server(enable_prompt_tokens_details=True).url
    with openai.OpenAI(base_url=url + "/v1", api_key="none", max_retries=0) as client:
        usage = client.chat.completions.create(model="tiny", messages=HELLO, max_tokens=2).usage
        options: Any = {"include_usage": True}
        stream = client.completions.create(
            model="tiny", prompt=["a", "b"], max_tokens=2, stream=True, stream_options=options
        )
        streamed = list(stream)[-1].usage
    assert usage is not None
    assert usage.prompt_tokens_details is not None
    assert usage.prompt_tokens_details.cached_tokens == 3
    assert streamed is not None
    assert streamed.prompt_tokens_details is not None
    assert streamed.prompt_tokens_details.cached_tokens == 6


@pytest.mark.parametrize("stream", [False, True])
def test_the_role_is_the_servers_unless_the_last_message_goes_on(
    start_server: Callable[..., Any], stream: bool
) -> None:
    url = start_server(response_role="bot").url

    def role(**fields: Any) -> str:
        reply = httpx.post(url + CHAT, json={"stream": stream, "max_tokens": 1, **fields})
        choice = events(reply)[0]["choices"][0] if stream else reply.json()["choices"][0]
        return str(choice["delta" if stream else "message"]["role"])

    assert role(messages=HELLO) == "bot"
    assert role(messages=HELLO, add_generation_prompt=False) == "user"
    half = [*HELLO, {"role": "assistant", "content": "Once"}]
    assert role(messages=half, continue_final_message=True) == "assistant"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("last", "shown"), [("assistant", "Once upon a time"), ("user", " a time")])
def test_a_chat_echo_begins_with_the_last_message_of_the_same_role(
    start_server: Callable[..., Any], engine: Any, stream: bool, last: str, shown: str
) -> None:
    engine.script = " a time"
    body = {"messages": [*HELLO, {"role": last, "content": "Once upon"}], "echo": True, "stream": stream}
    reply = httpx.post(start_server().url + CHAT, json=body)
    if stream:
        text = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in events(reply))
    else:
        text = reply.json()["choices"][0]["message"]["content"]
    assert text == shown


@pytest.mark.parametrize(("field", "as_ids"), [(None, True), (True, True), (False, False)])
def test_the_requests_own_wish_on_token_wording_goes_before_the_servers(
    start_server: Callable[..., Any], field: bool | None, as_ids: bool
) -> None:
    url = start_server(return_tokens_as_token_ids=True).url
    body = {"messages": HELLO, "logprobs": True, "max_tokens": 2, "return_tokens_as_token_ids": field}
    [first, _] = httpx.post(url + CHAT, json=body).json()["choices"][0]["logprobs"]["content"]
    assert first["token"].startswith("token_id:") is as_ids


@pytest.mark.parametrize("path", [CHAT, TEXT])
def test_token_ids_come_back_whole_and_streamed(http: httpx.Client, engine: Any, path: str) -> None:
    body = {"return_token_ids": True, "max_tokens": 7, "n": 2}
    body |= {"messages": HELLO} if path == CHAT else {"prompt": "The fox"}
    whole = http.post(path, json=body).json()
    prompt = engine.seen[0].prompt_token_ids
    expected = (prompt * 7)[:7]
    holder = whole if path == CHAT else whole["choices"][1]
    assert holder["prompt_token_ids"] == prompt
    assert [choice["token_ids"] for choice in whole["choices"]] == [expected, expected]
    chunks = events(http.post(path, json={**body, "stream": True}))
    streamed: list[list[int]] = [[], []]
    for chunk in chunks:
        streamed[chunk["choices"][0]["index"]] += chunk["choices"][0].get("token_ids") or []
    assert streamed == [expected, expected]
    holders = chunks if path == CHAT else [chunk["choices"][0] for chunk in chunks]
    given = [holder["prompt_token_ids"] for holder in holders if "prompt_token_ids" in holder]
    assert given == [prompt] if path == CHAT else [prompt, prompt]


def test_token_ids_end_with_the_stop_string(http: httpx.Client, engine: Any, tokenizer: Any) -> None:
    engine.script = "The quick brown fox"
    engine.tokens_per_step = 50
    reply = http.post(TEXT, json={"prompt": "a", "stop": "quick", "return_token_ids": True}).json()
    ids = reply["choices"][0]["token_ids"]
    assert tokenizer.decode(ids, True).startswith("The quick")
    assert reply["usage"]["completion_tokens"] == len(ids) < len(tokenizer.encode(engine.script, False))


def test_a_reply_has_no_token_ids_unless_asked(http: httpx.Client) -> None:
    for path, prompt in ((CHAT, {"messages": HELLO}), (TEXT, {"prompt": "a"})):
        for stream in (False, True):
            assert "token_ids" not in http.post(path, json={**prompt, "stream": stream, "max_tokens": 2}).text


def test_an_id_in_the_body_names_the_reply_and_the_header(http: httpx.Client) -> None:
    reply = http.post(CHAT, json={"messages": HELLO, "max_tokens": 1, "request_id": "mine-7"})
    assert reply.json()["id"] == "chatcmpl-mine-7"
    reply = http.post(
        TEXT, json={"prompt": "a", "max_tokens": 1, "request_id": "b"}, headers={"x-request-id": "a"}
    )
    assert (reply.json()["id"], reply.headers["x-request-id"]) == ("cmpl-b", "b")


def test_two_requests_with_one_id_do_not_meet(http: httpx.Client, engine: Any) -> None:
    engine.hold_after = 1
    body = {"prompt": "a", "request_id": "same", "stream": True, "max_tokens": 4}
    with http.stream("POST", TEXT, json=body) as first, http.stream("POST", TEXT, json=body) as second:
        readers = [first.iter_raw(), second.iter_raw()]
        for reader in readers:
            next(reader)
        assert len(engine.running) == 2
        assert len({request.request_id for request in engine.seen}) == 2
        engine.hold_after = None


@pytest.mark.parametrize(("decoder", "status"), [("ByteLevel", 200), ("WordPiece", 400)])
def test_special_tokens_stand_close_together_where_the_tokenizer_can(
    start_server: Callable[..., Any],
    engine: Any,
    byte_level_folder: Path,
    tmp_path: Path,
    decoder: str,
    status: int,
) -> None:
    document = json.loads((byte_level_folder / "tokenizer.json").read_text())
    if decoder == "WordPiece":
        document["decoder"] = {"type": "WordPiece", "prefix": "##", "cleanup": False}
    (tmp_path / "tokenizer.json").write_text(json.dumps(document))
    (tmp_path / "tokenizer_config.json").write_bytes(
        (byte_level_folder / "tokenizer_config.json").read_bytes()
    )
    engine.script = "<|im_start|><|im_start|>"
    body = {"prompt": "a", "skip_special_tokens": False, "spaces_between_special_tokens": False}
    reply = httpx.post(start_server(folder=tmp_path).url + TEXT, json=body)
    assert reply.status_code == status
    if status == 200:
        assert reply.json()["choices"][0]["text"] == "<|im_start|><|im_start|>"
    else:
        assert reply.json()["error"]["param"] == "spaces_between_special_tokens"
