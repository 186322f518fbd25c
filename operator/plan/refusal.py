"""A spec that passed the schema and still cannot be served."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class Refusal(Exception):
    """Becomes Accepted=False. `reason` is one CamelCase word, `message` names field, value and way out."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class ModelDoesNotFit(Refusal):
    """By figures that a pod of `revision` read in the model's files. `plan`: those figures, for status.plan."""

    def __init__(self, cause: Refusal, plan: Mapping[str, Any], revision: str) -> None:
        super().__init__(cause.reason, cause.message)
        self.plan = plan
        self.revision = revision
