"""What a task hands to training: a conversation and the answer that the model must learn."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

Message = dict[str, Any]
Tool = dict[str, Any]


@dataclass(frozen=True)
class Conversation:
    """One training example; `answer` is the only part that the loss counts.

    With `messages` empty the example is plain text: `answer` is a whole document, as `/v1/completions` meets it.
    `thoughts` (None: thinking is off) is what the model writes between `<think>` tags before the answer.
    """

    answer: str
    messages: tuple[Message, ...] = ()
    tools: tuple[Tool, ...] = field(default=())
    thoughts: str | None = None

    @property
    def completion(self) -> str:
        """The text that the model generates, without the token that ends it."""
        if self.thoughts is None:
            return self.answer
        return f"<think>\n{self.thoughts}\n</think>\n\n{self.answer}"


def user(content: str) -> Message:
    """A user message."""
    return {"role": "user", "content": content}


def assistant(content: str) -> Message:
    """An assistant message."""
    return {"role": "assistant", "content": content}


def system(content: str) -> Message:
    """A system message."""
    return {"role": "system", "content": content}


def call_block(name: str, arguments: dict[str, Any]) -> str:
    """One call as the model writes it: `<tool_call>`, JSON with name and arguments, `</tool_call>`."""
    body = json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False)
    return f"<tool_call>\n{body}\n</tool_call>"
