"""Errors as OpenAI clients expect them: one JSON envelope for every answer that is not a success."""

import logging
from collections.abc import Mapping
from typing import Any

import msgspec
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from paddock.server.messages.errors import envelope, speaks_messages
from paddock.server.middleware.request_id import request_id_of

logger = logging.getLogger("paddock.server.errors")
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
        # What a log shows of it; it may quote a request, whose line breaks must not look like lines of ours.
        super().__init__(repr(message[:MAX_MESSAGE_CHARACTERS])[1:-1])
        self.status = status
        self.message = message[:MAX_MESSAGE_CHARACTERS]
        self.param = param
        self.headers = dict(headers or {})

    def envelope(self) -> bytes:
        kind = ERROR_TYPES.get(self.status, "BadRequestError" if self.status < 500 else "InternalServerError")
        error = {"message": self.message, "type": kind, "param": self.param, "code": self.status}
        return msgspec.json.encode({"error": error})

    def response(self, scope: Scope) -> Response:
        """In the form of the API that the request came by."""
        body = self.envelope()
        if speaks_messages(scope):
            body = envelope(self.status, self.message, request_id_of(scope))
        return Response(body, self.status, self.headers, "application/json")


class ContextExceededError(ApiError):
    """The prompt, or the prompt and its answer, do not fit into the model's context."""

    def __init__(self, message: str, param: str) -> None:
        super().__init__(400, message, param)


def bad_request(message: str, param: str | None = None) -> ApiError:
    return ApiError(400, message, param)


def unavailable(message: str, retry_after_seconds: int = 1) -> ApiError:
    """503 that tells clients when to come back: the official one obeys retry-after."""
    return ApiError(503, message, headers={"retry-after": str(retry_after_seconds)})


def log_stack(scope: Scope, error: ApiError) -> None:
    """--log-error-stack: where in the server an error answer came from."""
    if error.status != CLIENT_CLOSED_REQUEST and scope["app"].state.serving.frontend.log_error_stack:
        where = f"{scope['method']} {scope['path']}"
        logger.error(
            "request %s: %s is answered %d: %s",
            request_id_of(scope),
            where,
            error.status,
            error,
            exc_info=error,
        )


async def answer_api_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    log_stack(request.scope, error)
    return error.response(request.scope)


async def answer_http_error(request: Request, error: Exception) -> Response:
    """Errors of the framework itself: unknown route, wrong method."""
    assert isinstance(error, HTTPException)
    messages = {
        404: f"There is no route {request.url.path}{_meant(request)}.",
        405: f"{request.method} is not allowed on {request.url.path}.",
    }
    message = messages.get(error.status_code, str(error.detail))
    answered = ApiError(error.status_code, message, headers=error.headers)
    log_stack(request.scope, answered.with_traceback(error.__traceback__))
    return answered.response(request.scope)


def _meant(request: Request) -> str:
    """What a client asks for whose base address lacks the /v1 at its end, or has it twice."""
    path = request.url.path
    known = {getattr(route, "path", None) for route in request.app.state.routes}
    likely = path.removeprefix("/v1") if path.startswith("/v1/v1/") else "/v1" + path
    return f"; there is {likely}" if likely in known else ""


async def answer_bad_parameter(request: Request, error: Exception) -> Response:
    """A parameter of a path or a query, which the framework checks."""
    assert isinstance(error, RequestValidationError)
    fault = error.errors()[0]
    field = str(fault["loc"][-1])
    answered = bad_request(f"{field}: {fault['msg']}, got {str(fault.get('input'))[:200]!r}.", field)
    log_stack(request.scope, answered.with_traceback(error.__traceback__))
    return answered.response(request.scope)


async def answer_unexpected(request: Request, error: Exception) -> Response:
    """A fault of ours. The log has the trace; the caller learns no internals."""
    return ApiError(500, "The server failed on this request; its log says why.").response(request.scope)


HANDLERS: dict[Any, Any] = {
    ApiError: answer_api_error,
    HTTPException: answer_http_error,
    RequestValidationError: answer_bad_parameter,
    Exception: answer_unexpected,
}
