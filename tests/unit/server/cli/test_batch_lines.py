"""Lines of a batch: what is sent, what is refused, and how answers look."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddock.server.batch.line import Fault, Request, fault_answer, read_line, reply_answer

GOOD = {"custom_id": "a", "method": "POST", "url": "/v1/completions", "body": {"prompt": "x"}}


def test_a_good_line_is_a_request() -> None:
    assert read_line(1, json.dumps(GOOD).encode(), set()) == Request(
        "a", "/v1/completions", b'{"prompt":"x"}'
    )


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"custom_id": None}, "custom_id must be a text that is not empty, not null"),
        ({"custom_id": 5}, "custom_id must be a text that is not empty, not 5"),
        ({"custom_id": "used"}, 'custom_id "used" is that of an earlier line'),
        ({"method": "GET"}, 'method must be POST, not "GET"'),
        ({"url": "https://elsewhere/v1"}, "url must be a path of the API such as /v1/chat/completions"),
        ({"url": "//elsewhere/v1"}, "url must be a path of the API"),
        ({"url": "/v1\r\nHost: x"}, "url must be a path of the API"),
        ({"body": []}, "body must be an object, not []"),
        ({"body": {"stream": True}}, "body.stream: a batch is answered as a whole"),
    ],
)
def test_a_wrong_line_says_which_and_what(change: dict[str, Any], problem: str) -> None:
    fault = read_line(7, json.dumps({**GOOD, **change}).encode(), {"used"})
    assert isinstance(fault, Fault)
    assert fault.message.startswith("line 7: ")
    assert problem in fault.message


@given(st.one_of(st.binary(max_size=200), st.builds(lambda value: json.dumps(value).encode(), st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(
        st.sampled_from(["custom_id", "method", "url", "body", "x"]), inner), max_leaves=8))))  # fmt: skip
def test_any_line_is_judged_and_its_answer_is_one_line_of_json(text: bytes) -> None:
    judged = read_line(1, text, set())
    if isinstance(judged, Fault):
        answer = fault_answer(judged)
        assert b"\n" not in answer
        assert json.loads(answer)["error"]["code"] == "invalid_request"


def test_an_answer_holds_status_request_id_and_body() -> None:
    answer = json.loads(reply_answer("a", 200, "r", b'{\n"x": 1}'))
    assert answer.pop("id").startswith("batch_req_")
    assert answer == {
        "custom_id": "a", "response": {"status_code": 200, "request_id": "r", "body": {"x": 1}}, "error": None,
    }  # fmt: skip


def test_an_error_status_is_an_error_with_the_servers_words() -> None:
    answer = json.loads(reply_answer("a", 400, "r", b'{"error": {"message": "n is too large"}}'))
    assert answer["error"] == {"code": "400", "message": "n is too large"}
    assert answer["response"]["body"] == {"error": {"message": "n is too large"}}
    plain = json.loads(reply_answer("a", 502, "r", b"bad gateway"))
    assert plain["response"]["body"] == "bad gateway"
