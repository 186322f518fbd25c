"""Errors in the form of the Messages API."""

from typing import Any

import msgspec
from starlette.types import Scope

PREFIX = "/v1/messages"
ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
}


def speaks_messages(scope: Scope) -> bool:
    """Whether a request came by one of these routes, unknown ones below them included."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", "")).startswith(PREFIX)


def error_object(status: int, message: str) -> dict[str, Any]:
    kind = ERROR_TYPES.get(status, "invalid_request_error" if status < 500 else "api_error")
    return {"type": kind, "message": message}


def envelope(status: int, message: str, request_id: str) -> bytes:
    """The whole body of an error."""
    error = error_object(status, message)
    return msgspec.json.encode({"type": "error", "error": error, "request_id": request_id})
