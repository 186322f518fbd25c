"""The base of every request."""

from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator

MAX_FIELDS = 100


class StrictModel(BaseModel):
    """Types are taken at their word: no number from a string, no integer from a bool, no unknown field."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False, frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _check_size(cls, fields: Any) -> Any:
        # Each unknown field becomes an error object; a body full of them must not fill the memory.
        if isinstance(fields, dict) and len(fields) > MAX_FIELDS:
            raise ValueError(f"has {len(fields)} fields; at most {MAX_FIELDS} are read")
        return fields
