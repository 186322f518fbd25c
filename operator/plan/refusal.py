"""A spec that passed the schema and still cannot be served."""

from __future__ import annotations


class Refusal(Exception):
    """Becomes Accepted=False. `reason` is one CamelCase word, `message` names field, value and way out."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
