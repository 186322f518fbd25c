"""One line of a batch: a request, or what is wrong with it."""

import uuid
from dataclasses import dataclass
from typing import Any

import msgspec

MAX_ECHO_CHARACTERS = 80


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it goes to the server."""

    custom_id: str
    url: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Fault:
    """A line that is not sent; its answer says why."""

    custom_id: str | None
    message: str


class _Line(msgspec.Struct):
    custom_id: Any = None
    method: Any = None
    url: Any = None
    body: Any = None


_decode = msgspec.json.Decoder(_Line).decode


def read_line(number: int, text: bytes, seen: set[str]) -> Request | Fault:
    """Judge line `number` of a batch, counted from 1. `seen` holds the ids of the lines before; this one's is added."""
    try:
        line = _decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        return Fault(None, f"line {number} is no JSON object: {error}")
    custom_id = line.custom_id
    if not isinstance(custom_id, str) or not custom_id:
        return Fault(
            None, f"line {number}: custom_id must be a text that is not empty, not {_shown(custom_id)}"
        )
    if custom_id in seen:
        return Fault(custom_id, f"line {number}: custom_id {_shown(custom_id)} is that of an earlier line")
    seen.add(custom_id)
    problem = _problem(line)
    if problem:
        return Fault(custom_id, f"line {number}: {problem}")
    return Request(custom_id, line.url, msgspec.json.encode(line.body))


def _problem(line: _Line) -> str:
    if line.method != "POST":
        return f"method must be POST, not {_shown(line.method)}"
    url = line.url
    if (
        not isinstance(url, str)
        or not url.startswith("/")
        or url.startswith("//")
        or not url.isascii()
        or not url.isprintable()
    ):
        return f"url must be a path of the API such as /v1/chat/completions, not {_shown(url)}"
    if not isinstance(line.body, dict):
        return f"body must be an object, not {_shown(line.body)}"
    if line.body.get("stream"):
        return "body.stream: a batch is answered as a whole; leave it out"
    return ""


def _shown(value: object) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= MAX_ECHO_CHARACTERS else text[:MAX_ECHO_CHARACTERS] + "…"


def fault_answer(fault: Fault) -> bytes:
    """The output line of a request that was never sent."""
    return _answer(fault.custom_id, None, {"code": "invalid_request", "message": fault.message})


def reply_answer(custom_id: str, status: int, request_id: str, body: bytes) -> bytes:
    """The output line of an answered request; an error's message is repeated where clients of batches look for it."""
    error = None
    try:
        content = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        content = body.decode(errors="replace")
    if status >= 400:
        detail = content.get("error") if isinstance(content, dict) else None
        message = detail.get("message") if isinstance(detail, dict) else None
        error = {"code": str(status), "message": message or f"the server answered {status}"}
    response = {"status_code": status, "request_id": request_id, "body": content}
    return _answer(custom_id, response, error)


def _answer(custom_id: str | None, response: dict[str, Any] | None, error: dict[str, str] | None) -> bytes:
    entry = {
        "id": f"batch_req_{uuid.uuid4().hex}",
        "custom_id": custom_id,
        "response": response,
        "error": error,
    }
    return msgspec.json.encode(entry)
