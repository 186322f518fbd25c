"""Types of fields that stand in requests of more than one family."""

from typing import Annotated

from pydantic import AfterValidator, Field

from paddock.server.middleware.request_id import MAX_CHARACTERS, is_sane

INT64 = 2**63


def _check_truncation(value: int) -> int:
    if value == 0:
        raise ValueError("must be -1 (what the context holds) or at least 1")
    return value


def _check_request_id(value: str) -> str:
    if not is_sane(value):
        raise ValueError(f"must be 1 to {MAX_CHARACTERS} visible ASCII characters")
    return value


PromptTokenLimit = Annotated[int, Field(ge=-1, lt=INT64), AfterValidator(_check_truncation)]
RequestId = Annotated[str, AfterValidator(_check_request_id)]
