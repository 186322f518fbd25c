"""The OpenAPI document of the served routes (/openapi.json), which the pages /docs and /redoc show.

Requests are read by our own strict models and answers are written by msgspec, so the framework sees neither: the
document is completed from those models here.
"""

import re
import warnings
from collections.abc import Mapping
from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from paddock import __version__
from paddock.server.errors import ERROR_TYPES
from paddock.server.protocol.chat import ChatRequest
from paddock.server.protocol.completions import CompletionRequest
from paddock.server.protocol.replies import ChatChoice, TextChoice, Usage
from paddock.server.protocol.tokens import DetokenizeRequest, TokenizeMessages, TokenizeText
from paddock.server.routes.health import OPEN_PATHS

REFERENCE = "#/components/schemas/{}"
REQUESTS: Mapping[str, tuple[type[BaseModel], ...]] = {
    "/v1/chat/completions": (ChatRequest,),
    "/v1/completions": (CompletionRequest,),
    "/tokenize": (TokenizeText, TokenizeMessages),
    "/detokenize": (DetokenizeRequest,),
}
"""What a route reads; several where it reads one of them."""

REPLIES: Mapping[str, tuple[str, str, type[msgspec.Struct]]] = {
    "/v1/chat/completions": ("ChatReply", "chat.completion", ChatChoice),
    "/v1/completions": ("CompletionReply", "text_completion", TextChoice),
}
"""What a generating route answers unless it streams: the schema's name, `object`, and one of `choices`."""

ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string", "enum": sorted(ERROR_TYPES.values())},
                "param": {
                    "type": ["string", "null"],
                    "description": "The dotted name of the field at fault.",
                },
                "code": {"type": "integer", "description": "The HTTP status."},
            },
        }
    },
}


class Application(FastAPI):
    """FastAPI whose document is ours."""

    asks_for_key = False

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            self.openapi_schema = document(self)
        return self.openapi_schema


def document(app: Application) -> dict[str, Any]:
    """OpenAPI 3.1."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names given twice, which are replaced below
        made = get_openapi(title=app.title, version=__version__, routes=app.routes)
    components = made.setdefault("components", {})
    components["schemas"] = _schemas()
    if app.asks_for_key:
        components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    for path, operations in made["paths"].items():
        for method, operation in operations.items():
            _complete(operation, path, method, asks_for_key=app.asks_for_key and path not in OPEN_PATHS)
    return made


def _complete(operation: dict[str, Any], path: str, method: str, asks_for_key: bool) -> None:
    if method == "post" and path in REQUESTS:
        references = [_reference(model.__name__) for model in REQUESTS[path]]
        schema = references[0] if len(references) == 1 else {"anyOf": references}
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    success: dict[str, Any] = {"description": "Success"}
    if path in REPLIES:
        success |= {
            "content": {
                "application/json": {"schema": _reference(REPLIES[path][0])},
                "text/event-stream": {"schema": {"type": "string"}},
            }
        }
    failure = {"description": "Error", "content": {"application/json": {"schema": _reference("Error")}}}
    operation["operationId"] = "_".join([method, *re.findall(r"\w+", path)])
    operation["responses"] = {"200": success, "4XX": failure, "5XX": failure}
    if asks_for_key:
        operation["security"] = [{"key": []}]


def _reference(name: str) -> dict[str, str]:
    return {"$ref": REFERENCE.format(name)}


def _schemas() -> dict[str, Any]:
    models = sorted(
        {model for models in REQUESTS.values() for model in models}, key=lambda model: model.__name__
    )
    _, requests = models_json_schema(
        [(model, "validation") for model in models], ref_template=REFERENCE.format("{model}")
    )
    parts = [Usage, *(choice for _, _, choice in REPLIES.values())]
    _, structs = msgspec.json.schema_components(parts, ref_template=REFERENCE.format("{name}"))
    replies = {name: _reply(kind, choice) for name, kind, choice in REPLIES.values()}
    return {"Error": ERROR, **replies, **structs, **requests["$defs"]}


def _reply(kind: str, choice: type[msgspec.Struct]) -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["id", "object", "created", "model", "choices"],
        "properties": {
            "id": {"type": "string"},
            "object": {"const": kind},
            "created": {"type": "integer", "description": "Seconds since 1970."},
            "model": {"type": "string"},
            "choices": {"type": "array", "items": _reference(choice.__name__)},
            "usage": _reference(Usage.__name__),
        },
    }
