"""Errors as OpenAI clients expect them: one JSON envelope for every answer that is not a success."""

from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

ERROR_TYPES = {
    400: "BadRequestError",
    401: "AuthenticationError",
    403: "PermissionDeniedError",
    404: "NotFoundError",
    405: "MethodNotAllowedError",
    413: "RequestTooLargeError",
    422: "UnprocessableEntityError",
    500: "InternalServerError",
    501: "NotImplementedError",
    503: "ServiceUnavailableError",
}
CLIENT_CLOSED_REQUEST = 499
"""Status for our own books when the caller went away; nobody is left to read it."""
MAX_MESSAGE_CHARACTERS = 4_000


class ApiError(Exception):
    """An answer other than success; `param` is the dotted name of the request field at fault."""

    def __init__(
        self, status: int, message: str, param: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message[:MAX_MESSAGE_CHARACTERS]
        self.param = param
        self.headers = dict(headers or {})

    def envelope(self) -> bytes:
        kind = ERROR_TYPES.get(self.status, "BadRequestError" if self.status < 500 else "InternalServerError")
        error = {"message": self.message, "type": kind, "param": self.param, "code": self.status}
        return msgspec.json.encode({"error": error})

    def response(self) -> Response:
        return Response(self.envelope(), self.status, self.headers, "application/json")

    def events(self) -> bytes:
        """The same for a stream whose status 200 is already sent."""
        return b"data: " + self.envelope() + b"\n\ndata: [DONE]\n\n"


def bad_request(message: str, param: str | None = None) -> ApiError:
    return ApiError(400, message, param)


def unavailable(message: str, retry_after_seconds: int = 1) -> ApiError:
    """503 that tells clients when to come back: the official one obeys retry-after."""
    return ApiError(503, message, headers={"retry-after": str(retry_after_seconds)})


async def answer_api_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return error.response()


async def answer_http_error(request: Request, error: Exception) -> Response:
    """Errors of the framework itself: unknown route, wrong method."""
    assert isinstance(error, HTTPException)
    messages = {
        404: f"There is no route {request.url.path}.",
        405: f"{request.method} is not allowed on {request.url.path}.",
    }
    message = messages.get(error.status_code, str(error.detail))
    return ApiError(error.status_code, message, headers=error.headers).response()


async def answer_unexpected(request: Request, error: Exception) -> Response:
    """A fault of ours. The log has the trace; the caller learns no internals."""
    return ApiError(500, "The server failed on this request; its log says why.").response()


HANDLERS: dict[Any, Any] = {
    ApiError: answer_api_error,
    HTTPException: answer_http_error,
    Exception: answer_unexpected,
}
