"""Read a request body: JSON, then the model of the endpoint; every fault is a 400 that names its field."""

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
import pydantic
from pydantic_core import ErrorDetails

from paddock.server.errors import ApiError, bad_request
from paddock.server.protocol.unsupported import refuse_unsupported

MAX_ERRORS = 10
MAX_ECHO_CHARACTERS = 200
RequestModel = TypeVar("RequestModel", bound=pydantic.BaseModel)


def parse_request(model: type[RequestModel], body: bytes, content_type: str | None) -> RequestModel:
    """The validated request. Raises ApiError 400."""
    return check_fields(model, read_object(body, content_type))


def check_fields(model: type[RequestModel], fields: Mapping[str, Any]) -> RequestModel:
    """The same for a body that is read already."""
    refuse_unsupported({name: value for name, value in fields.items() if name not in model.model_fields})
    # null equals absent for every optional field.
    given = {name: value for name, value in fields.items() if value is not None}
    try:
        return model.model_validate(given)
    except pydantic.ValidationError as error:
        raise _refusal(error.errors(include_url=False), given) from None


def read_object(body: bytes, content_type: str | None) -> Mapping[str, Any]:
    """The JSON object of a body, whatever is in it. Raises ApiError 400."""
    media_type = (content_type or "application/json").partition(";")[0].strip().lower()
    if media_type != "application/json" and not media_type.endswith("+json"):
        raise bad_request(
            f"The content type must be application/json, not {media_type[:MAX_ECHO_CHARACTERS]}."
        )
    try:
        fields = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise bad_request(f"The body is not valid JSON: {error}.") from None
    if not isinstance(fields, dict):
        raise bad_request("The body must be a JSON object.")
    return fields


def _refusal(errors: list[ErrorDetails], given: Mapping[str, Any]) -> ApiError:
    faults = [(_field(error, given), error) for error in errors]
    # A union reports each branch it tried; the one that got furthest into the value is the one that was meant.
    fields = [field for field, _ in faults]
    meant = [fault for fault in faults if not any(field.startswith(fault[0] + ".") for field in fields)]
    lines = [_describe(field, error) for field, error in meant[:MAX_ERRORS]]
    if len(meant) > MAX_ERRORS:
        lines.append(f"and {len(meant) - MAX_ERRORS} more")
    return bad_request("; ".join(lines), meant[0][0])


def _describe(field: str, error: ErrorDetails) -> str:
    if not error["loc"]:  # a rule over several fields; its text begins with the field at fault
        return error["msg"].removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        return f"{field}: unknown field"
    if error["type"] == "missing":
        return f"{field}: required"
    rule = error["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
    echo = repr(error["input"])
    if len(echo) > MAX_ECHO_CHARACTERS:
        echo = echo[:MAX_ECHO_CHARACTERS] + "…"
    return f"{field}: {rule}, got {echo}"


def _field(error: ErrorDetails, given: Mapping[str, Any]) -> str:
    """The dotted path of a fault, without the union branches pydantic puts between."""
    if not error["loc"]:
        return error["msg"].removeprefix("Value error, ").partition(" ")[0]
    path: list[str] = []
    value: Any = given
    for position, part in enumerate(error["loc"]):
        if isinstance(value, dict):
            part = str(part)  # a checked key may be a number by now
        known = _step(value, part)
        absent = position == len(error["loc"]) - 1 and error["type"] == "missing"
        if known or absent:
            path.append(str(part))
            value = value[part] if known else None
    return ".".join(path) or str(error["loc"][0])


def _step(value: Any, part: int | str) -> bool:
    if isinstance(value, dict):
        return part in value
    return isinstance(value, list) and isinstance(part, int) and part < len(value)
