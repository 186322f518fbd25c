"""The request of /collective_rpc."""

from typing import Any

from pydantic import Field

from paddock.server.protocol.strict_model import StrictModel


class WorkerCallRequest(StrictModel):
    method: str = Field(min_length=1, max_length=200)
    args: list[Any] = Field(default_factory=list)
    kwargs: dict[str, Any] = Field(default_factory=dict)
    timeout: float | None = Field(default=None, gt=0)
    """Seconds."""
