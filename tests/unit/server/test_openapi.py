"""/openapi.json, /docs and /redoc."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import jsonschema
import pytest

from paddock.server.openapi_answers import REQUESTS

WITHOUT_BODY = {"/ping", "/reset_prefix_cache", "/sleep", "/wake_up", "/v1/responses/{response_id}/cancel"}
PAGES = ["/openapi.json", "/docs", "/redoc"]


@pytest.fixture
def document(start_server: Callable[..., Any]) -> Any:
    server = start_server(
        enable_tokenizer_info_endpoint=True,
        enable_server_load_tracking=True,
        development={},
        changes_adapters=True,
        sleeps=True,
    )
    return httpx.get(server.url + "/openapi.json", timeout=60).raise_for_status().json()


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        for value in part.values():
            yield from references(value)
    elif isinstance(part, list):
        for value in part:
            yield from references(value)


def test_every_route_that_reads_a_body_says_what_it_reads(document: Any) -> None:
    posts = {path for path, operations in document["paths"].items() if "post" in operations}
    assert posts - WITHOUT_BODY == set(REQUESTS)
    for path in REQUESTS:
        assert document["paths"][path]["post"]["requestBody"]["required"]


def test_every_reference_leads_somewhere(document: Any) -> None:
    targets = set(references(document))
    assert targets
    for target in targets:
        assert target.removeprefix("#/components/schemas/") in document["components"]["schemas"]


@pytest.mark.parametrize(
    ("body", "valid"),
    [
        ({"prompt": "a", "temperature": 0.5, "n": 2}, True),
        ({"prompt": "a", "temperature": 3}, False),
        ({"prompt": "a", "n": 0}, False),
        ({"prompt": "a", "no_such_field": 1}, False),
        ({}, False),
    ],
)
def test_the_document_and_the_server_agree_on_what_is_valid(
    document: Any, http: httpx.Client, body: dict[str, Any], valid: bool
) -> None:
    schema = {"$ref": "#/components/schemas/CompletionRequest", "components": document["components"]}
    assert jsonschema.Draft202012Validator(schema).is_valid(body) is valid
    assert (http.post("/v1/completions", json={"max_tokens": 1, **body}).status_code == 200) is valid


def test_errors_and_answers_have_their_shapes(document: Any, http: httpx.Client) -> None:
    responses = document["paths"]["/v1/chat/completions"]["post"]["responses"]
    assert set(responses) == {"200", "4XX", "5XX"}
    error = {"$ref": responses["4XX"]["content"]["application/json"]["schema"]["$ref"]}
    validator = jsonschema.Draft202012Validator({**error, "components": document["components"]})
    validator.validate(http.get("/nowhere").json())


@pytest.mark.parametrize("page", PAGES)
def test_the_pages_answer_unless_they_are_turned_off(start_server: Callable[..., Any], page: str) -> None:
    assert httpx.get(start_server().url + page).status_code == 200
    off = httpx.get(start_server(disable_fastapi_docs=True).url + page)
    assert off.status_code == 404
    assert off.json()["error"]["code"] == 404


def test_a_key_guards_the_pages_and_stands_in_the_document(start_server: Callable[..., Any]) -> None:
    url = start_server(api_key=("k",)).url
    assert httpx.get(url + "/openapi.json").status_code == 401
    document = httpx.get(url + "/openapi.json", headers={"authorization": "Bearer k"}).json()
    assert document["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    assert document["paths"]["/v1/models"]["get"]["security"] == [{"key": []}, {"header": []}]
    assert "security" not in document["paths"]["/health"]["get"]


def test_behind_a_proxy_the_document_names_the_prefix(start_server: Callable[..., Any]) -> None:
    url = start_server(root_path="/proxy").url
    assert httpx.get(url + "/openapi.json").json()["servers"] == [{"url": "/proxy"}]
    assert "/proxy/openapi.json" in httpx.get(url + "/docs").text
