"""Ask every operation of a server's own OpenAPI document what it says it takes, and what it says it does not."""

from typing import Any

import httpx
import schemathesis
from hypothesis import HealthCheck, Phase, given, reject, settings, strategies
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.errors import InvalidSchema
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
SECONDS = 60
LIMITS = {
    "/v1/chat/completions": "max_tokens",
    "/v1/completions": "max_tokens",
    "/v1/messages": "max_tokens",
    "/v1/responses": "max_output_tokens",
}
FEW_TOKENS = 4


def ask_all(url: str, examples: int) -> dict[str, set[int]]:
    """Send each operation so many valid and so many invalid requests. Raises on an answer that the document denies.

    The result holds the statuses that each operation answered.
    """
    document = schemathesis.openapi.from_url(f"{url}/openapi.json")
    seen: dict[str, set[int]] = {}
    for result in document.get_all_operations():
        operation = result.ok()
        statuses = seen.setdefault(f"{operation.method.upper()} {operation.path}", set())
        response_id = _response_id(url) if "{response_id}" in operation.path else ""
        _ask(operation, GenerationMode.POSITIVE, examples, statuses, response_id)
        if operation.body or operation.query:  # nothing else can be wrong
            _ask(operation, GenerationMode.NEGATIVE, examples, statuses, None)
    return seen


def _ask(
    operation: Any, mode: GenerationMode, examples: int, statuses: set[int], response_id: str | None
) -> None:
    """With a `response_id`, be it empty, requests name what this server has, and want little of it."""

    requests = operation.as_strategy(generation_mode=mode)

    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategies.data())
    def ask(data: strategies.DataObject) -> None:
        try:
            case: Case = data.draw(requests)
        except InvalidSchema:  # the library has made a schema of its own that nothing fits
            reject()
        if response_id is not None:
            _make_answerable(case, response_id)
        answer = case.call(timeout=SECONDS)
        statuses.add(answer.status_code)
        case.validate_response(answer, checks=CHECKS)

    ask()


def _make_answerable(case: Case, response_id: str) -> None:
    if isinstance(case.body, dict):
        case.body["model"] = "tiny"
        if limit := LIMITS.get(case.operation.path):
            case.body[limit] = FEW_TOKENS
    if "response_id" in (case.path_parameters or ()):
        case.path_parameters["response_id"] = response_id


def _response_id(url: str) -> str:
    body = {"input": "Hi", "max_output_tokens": 1}
    made = httpx.post(f"{url}/v1/responses", json=body, timeout=SECONDS).raise_for_status().json()
    return str(made["id"])
