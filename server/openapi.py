"""The OpenAPI document of the served routes (/openapi.json), which the pages /docs and /redoc show.

Requests are read by our own strict models and answers are written by msgspec, so the framework sees neither: the
document is completed from those models here.
"""

import re
import warnings
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from paddock import __version__
from paddock.server.openapi_answers import (
    REFERENCE,
    REQUESTS,
    SUCCESSES,
    failure_of,
    reference,
    reply_schemas,
)
from paddock.server.routes.health import OPEN_PATHS


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
    components["schemas"] = {**reply_schemas(), **_request_schemas()}
    if app.asks_for_key:
        components["securitySchemes"] = {
            "key": {"type": "http", "scheme": "bearer"},
            "header": {"type": "apiKey", "in": "header", "name": "x-api-key"},
        }
    for path, operations in made["paths"].items():
        for method, operation in operations.items():
            _complete(operation, path, method, asks_for_key=app.asks_for_key and path not in OPEN_PATHS)
    return made


def _complete(operation: dict[str, Any], path: str, method: str, asks_for_key: bool) -> None:
    if method == "post" and path in REQUESTS:
        references = [reference(model.__name__) for model in REQUESTS[path]]
        schema = references[0] if len(references) == 1 else {"anyOf": references}
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    failure = _content("Error", "application/json", failure_of(path))
    operation["operationId"] = "_".join([method, *re.findall(r"\w+", path)])
    operation["responses"] = {"200": _success(method, path), "4XX": failure, "5XX": failure}
    if asks_for_key:
        operation["security"] = [{"key": []}, {"header": []}]


def _success(method: str, path: str) -> dict[str, Any]:
    answer = SUCCESSES.get((method, path))
    if answer is None:
        return {"description": "Success"}
    made = _content("Success", answer.media_type, answer.schema)
    if answer.streams:
        made["content"]["text/event-stream"] = {"schema": reference("Event")}
    return made


def _content(description: str, media_type: str, schema: str | None) -> dict[str, Any]:
    form = {"type": "string"} if schema is None else reference(schema)
    return {"description": description, "content": {media_type: {"schema": form}}}


def _request_schemas() -> dict[str, Any]:
    models = sorted(
        {model for models in REQUESTS.values() for model in models}, key=lambda model: model.__name__
    )
    _, requests = models_json_schema(
        [(model, "validation") for model in models], ref_template=REFERENCE.format("{model}")
    )
    found: dict[str, Any] = requests["$defs"]
    return found
