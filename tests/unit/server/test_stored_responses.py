"""Responses that are kept: continued, fetched, followed, cancelled, deleted, and bounded."""

import contextlib
import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import openai
import pytest

from paddock.server.errors import ApiError
from paddock.server.protocol.response_replies import ResponseReply
from paddock.server.responses.store import MAX_RUNNING, ResponseStore, StoredResponse


@pytest.fixture(scope="module")
def server(start_shared: Callable[..., Any]) -> Any:
    return start_shared()


@pytest.fixture
def engine(shared_engine: Any) -> Any:
    return shared_engine


@pytest.fixture(scope="module")
def client(server: Any) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0) as client:
        yield client


def test_a_response_goes_on_with_an_earlier_one(client: openai.OpenAI, engine: Any) -> None:
    engine.script = "Hello."
    first = client.responses.create(model="tiny", input="Hi", instructions="Be brief")
    second = client.responses.create(model="tiny", input="Go on", previous_response_id=first.id)
    third = client.responses.create(model="tiny", input="More", previous_response_id=second.id)
    assert engine.last_prompt() == (
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello.<|im_end|>\n"
        "<|im_start|>user\nGo on<|im_end|>\n<|im_start|>assistant\nHello.<|im_end|>\n"
        "<|im_start|>user\nMore<|im_end|>\n<|im_start|>assistant\n"
    )
    assert third.previous_response_id == second.id


def test_what_was_stored_is_fetched_and_listed_until_it_is_deleted(
    client: openai.OpenAI, engine: Any
) -> None:
    engine.script = "Hello."
    first = client.responses.create(model="tiny", input="Hi")
    second = client.responses.create(model="tiny", input="Go on", previous_response_id=first.id)
    assert client.responses.retrieve(second.id) == second
    items = list(client.responses.input_items.list(second.id, order="asc", limit=2))
    assert [(item.type, item.content[0].text) for item in items] == [  # type: ignore[union-attr]
        ("message", "Hi"), ("message", "Hello."), ("message", "Go on"),
    ]  # fmt: skip
    client.responses.delete(first.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(first.id)
    assert client.responses.retrieve(second.id).output_text == "Hello."


def test_what_is_not_to_be_stored_is_gone(client: openai.OpenAI, engine: Any) -> None:
    engine.script = "Hello."
    response = client.responses.create(model="tiny", input="Hi", store=False)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(response.id)


def test_a_response_in_the_background_is_fetched_when_it_is_done(
    client: openai.OpenAI, engine: Any, eventually: Callable[..., None]
) -> None:
    engine.script = "Hello."
    engine.hold_after = 2
    queued = client.responses.create(model="tiny", input="Hi", background=True)
    assert (queued.status, queued.output, queued.background) == ("queued", [], True)
    eventually(lambda: client.responses.retrieve(queued.id).status == "in_progress")
    with pytest.raises(openai.BadRequestError, match="in_progress"):
        client.responses.create(model="tiny", input="Hi", previous_response_id=queued.id)
    engine.hold_after = None
    eventually(lambda: client.responses.retrieve(queued.id).status == "completed")
    assert client.responses.retrieve(queued.id).output_text == "Hello."


def test_a_stream_in_the_background_goes_on_without_its_client(
    client: openai.OpenAI, engine: Any, eventually: Callable[..., None]
) -> None:
    engine.script = "One two three four."
    engine.hold_after = 4
    stream = client.responses.create(model="tiny", input="Hi", background=True, stream=True)
    seen = [next(iter(stream)) for _ in range(4)]
    stream.close()
    engine.hold_after = None
    response_id = seen[0].response.id  # type: ignore[union-attr]
    rest = list(client.responses.retrieve(response_id, stream=True, starting_after=3))
    again = list(client.responses.retrieve(response_id, stream=True))
    assert [event.sequence_number for event in again] == list(range(len(again)))
    assert again == seen + rest
    assert rest[-1].response.output_text == "One two three four."  # type: ignore[union-attr]
    eventually(lambda: not engine.running)


def test_cancelling_stops_the_engine_and_keeps_what_was_said(
    client: openai.OpenAI, engine: Any, eventually: Callable[..., None]
) -> None:
    engine.script = "One two three four."
    engine.hold_after = 6
    running = client.responses.create(model="tiny", input="Hi", background=True)
    eventually(lambda: client.responses.retrieve(running.id).status == "in_progress")
    cancelled = client.responses.cancel(running.id)
    assert cancelled.status == "cancelled"
    eventually(lambda: not engine.running)
    assert "One two three four.".startswith(client.responses.retrieve(running.id).output_text)
    assert client.responses.cancel(running.id).status == "cancelled"


def test_a_response_that_the_engine_refuses_has_failed(
    client: openai.OpenAI, engine: Any, eventually: Callable[..., None]
) -> None:
    engine.refusal = (400, "no such thing")
    made = client.responses.create(model="tiny", input="Hi", background=True)
    eventually(lambda: client.responses.retrieve(made.id).status == "failed")
    error = client.responses.retrieve(made.id).error
    assert error is not None
    assert (error.code, "no such thing" in error.message) == ("invalid_prompt", True)


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("stream=true", "stream"),
        ("starting_after=1", "starting_after"),
        ("stream=perhaps", "stream"),
        ("stream=true&starting_after=-1", "starting_after"),
    ],
)
def test_a_bad_query_names_its_field(
    server: Any, client: openai.OpenAI, engine: Any, query: str, param: str
) -> None:
    engine.script = "Hello."
    response = client.responses.create(model="tiny", input="Hi")
    refused = httpx.get(f"{server.url}/v1/responses/{response.id}?{query}")
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, param)
    with pytest.raises(openai.BadRequestError):
        client.responses.cancel(response.id)


def test_one_of_several_processes_stores_nothing(start_shared: Callable[..., Any], engine: Any) -> None:
    engine.script = "Hello."
    url = start_shared(stores=False).url + "/v1/responses"
    made = httpx.post(url, json={"input": "Hi"}).json()
    assert (made["status"], made["store"]) == ("completed", False)
    assert httpx.get(f"{url}/{made['id']}").status_code == 404
    for field, value in (("store", True), ("background", True), ("previous_response_id", made["id"])):
        refused = httpx.post(url, json={"input": "Hi", field: value})
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, field)


def stored(name: str, text: str = "", running: bool = False) -> StoredResponse:
    reply = ResponseReply(
        id=name, created_at=0, model="m", background=running, instructions=text, max_output_tokens=None, metadata={},
        parallel_tool_calls=True, previous_response_id=None, reasoning={}, store=True, temperature=1.0, text={},
        tool_choice="auto", tools=[], top_logprobs=0, top_p=1.0, truncation="disabled",
    )  # fmt: skip
    return StoredResponse(reply, [], cancel=(lambda: None) if running else None)


def kept(store: ResponseStore, *names: str) -> list[str]:
    found = []
    for name in names:
        with contextlib.suppress(ApiError):
            found.append(store.get(name).response.id)
    return found


def test_the_oldest_ended_responses_make_room() -> None:
    store = ResponseStore(max_bytes=10_000)
    store.add(stored("running", "x" * 3_000, running=True))
    for name in "abc":
        store.add(stored(name, "x" * 2_500))
    assert kept(store, "running", "a", "b", "c") == ["running", "b", "c"]
    store.add(stored("huge", "x" * 20_000))
    assert kept(store, "running", "a", "b", "c", "huge") == ["running"]
    with pytest.raises(ApiError, match="fill all") as refused:
        store.add(stored("more", "x" * 8_000, running=True))
    assert refused.value.status == 503
    store.delete(store.get("running"))
    assert store.num_bytes == 0


def test_responses_have_their_time_unless_they_run() -> None:
    store = ResponseStore(lifetime_seconds=-1.0)
    store.add(stored("ended"))
    store.add(stored("running", running=True))
    assert kept(store, "ended", "running") == ["running"]


def test_only_so_many_run_at_once() -> None:
    store = ResponseStore()
    for number in range(MAX_RUNNING):
        store.add(stored(str(number), running=True))
    with pytest.raises(ApiError, match="wait for one") as refused:
        store.add(stored("more", running=True))
    assert "retry-after" in refused.value.headers


def test_the_bytes_of_a_response_are_counted_as_it_grows(
    client: openai.OpenAI, server: Any, engine: Any
) -> None:
    engine.script = "One two three four."
    store = server.serving.responses
    before = store.num_bytes
    with client.responses.create(model="tiny", input="Hi", background=True, stream=True) as stream:
        events = list(stream)
    assert store.num_bytes - before > sum(len(json.dumps(event.to_dict())) for event in events) / 2
    client.responses.delete(events[0].response.id)  # type: ignore[union-attr]
    assert store.num_bytes == before
