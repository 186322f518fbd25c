"""Keys, request ids, CORS, root path, open routes."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from paddock import __version__

OPEN = ["/health", "/ping", "/version", "/metrics"]


@pytest.fixture
def guarded(start_server: Callable[..., Any]) -> str:
    url: str = start_server(api_key=("first-key", "second-key")).url
    return url


@pytest.mark.parametrize(
    "header",
    [{}, {"authorization": "Bearer wrong"}, {"authorization": "first-key"}, {"authorization": "Bearer"}],
)
@pytest.mark.parametrize("path", ["/v1/models", "/v1/chat/completions", "/nowhere", "/health/", "/docs"])
def test_without_a_key_only_open_routes_answer(guarded: str, header: dict[str, str], path: str) -> None:
    response = httpx.get(guarded + path, headers=header)
    assert response.status_code == 401
    assert response.json()["error"]["code"] == 401
    assert response.headers["www-authenticate"] == "Bearer"
    assert response.headers["x-request-id"]


@pytest.mark.parametrize("path", OPEN)
def test_probes_and_scrapers_need_no_key(guarded: str, path: str) -> None:
    assert httpx.get(guarded + path).status_code == 200


@pytest.mark.parametrize("key", ["first-key", "second-key"])
def test_every_key_opens(guarded: str, key: str) -> None:
    response = httpx.get(guarded + "/v1/models", headers={"authorization": f"Bearer {key}"})
    assert response.status_code == 200


def test_preflight_needs_no_key_and_says_what_is_allowed(start_server: Callable[..., Any]) -> None:
    url = start_server(api_key=("k",), allowed_origins=("https://a.example",), allowed_methods=("POST",)).url
    ask = {"origin": "https://a.example", "access-control-request-method": "POST"}
    response = httpx.options(url + "/v1/models", headers=ask)
    assert response.status_code == 200
    assert response.headers["access-control-allow-origin"] == "https://a.example"
    refused = httpx.options(url + "/v1/models", headers={**ask, "origin": "https://b.example"})
    assert "access-control-allow-origin" not in refused.headers


def test_errors_too_may_be_read_from_an_allowed_origin(http: httpx.Client) -> None:
    response = http.get("/nowhere", headers={"origin": "https://a.example"})
    assert response.headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize(
    ("given", "kept"),
    [("trace-1", True), ("x" * 128, True), ("x" * 129, False), ("a b", False), ("é", False), ("", False)],
)
def test_a_sane_request_id_is_kept_and_any_other_replaced(
    start_server: Callable[..., Any], given: str, kept: bool
) -> None:
    url = start_server(enable_request_id_headers=True).url
    response = httpx.get(url + "/version", headers={"x-request-id": given.encode()})
    assert (response.headers["x-request-id"] == given) is kept


def test_without_the_flag_only_errors_and_callers_with_an_id_see_one(http: httpx.Client) -> None:
    assert "x-request-id" not in http.get("/version").headers
    assert http.get("/version", headers={"x-request-id": "mine"}).headers["x-request-id"] == "mine"
    assert http.get("/nowhere").headers["x-request-id"]


def test_with_the_flag_every_response_has_an_id_of_its_own(start_server: Callable[..., Any]) -> None:
    url = start_server(enable_request_id_headers=True).url
    paths = ["/version", "/health", "/metrics", "/v1/models", "/nowhere"]
    assert len({httpx.get(url + path).headers["x-request-id"] for path in paths}) == len(paths)


@pytest.mark.parametrize("prefix", ["", "/proxy"])
def test_a_root_path_works_stripped_or_not_and_stays_guarded(
    start_server: Callable[..., Any], prefix: str
) -> None:
    url = start_server(root_path="/proxy", api_key=("k",)).url + prefix
    assert httpx.get(url + "/health").status_code == 200
    assert httpx.get(url + "/v1/models").status_code == 401
    assert httpx.get(url + "/v1/models", headers={"authorization": "Bearer k"}).status_code == 200


def test_models_are_listed_and_found_by_name(http: httpx.Client) -> None:
    cards = http.get("/v1/models").json()
    assert [card["id"] for card in cards["data"]] == ["tiny", "alias"]
    assert cards["data"][0]["max_model_len"] == 256
    assert http.get("/v1/models/alias").json()["id"] == "alias"
    assert http.get("/v1/models/org/other").status_code == 404


def test_version_and_ping_answer(http: httpx.Client) -> None:
    assert http.get("/version").json() == {"version": __version__}
    assert http.post("/ping").status_code == 200
    assert http.get("/health").content == b""
