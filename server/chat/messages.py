"""Request messages as the plain data that templates read."""

from collections.abc import Sequence
from typing import Any

import msgspec

from paddock.server.errors import bad_request
from paddock.server.protocol.conversation import AssistantMessage, Message, TextPart, ToolCall, ToolMessage


def template_messages(messages: Sequence[Message], as_parts: bool) -> list[dict[str, Any]]:
    """One dictionary per message, without what is unset. `as_parts` gives content as a list of typed parts."""
    return [_plain(message, as_parts, position) for position, message in enumerate(messages)]


def _plain(message: Message, as_parts: bool, position: int) -> dict[str, Any]:
    plain: dict[str, Any] = {"role": message.role}
    if message.name is not None:
        plain["name"] = message.name
    if message.content is not None:
        plain["content"] = _content(message.content, as_parts)
    if isinstance(message, ToolMessage):
        plain["tool_call_id"] = message.tool_call_id
    if isinstance(message, AssistantMessage):
        reasoning = message.reasoning if message.reasoning_content is None else message.reasoning_content
        if reasoning is not None:
            plain["reasoning_content"] = reasoning
        if message.tool_calls:
            plain["tool_calls"] = [_call(call, position, at) for at, call in enumerate(message.tool_calls)]
    return plain


def _content(content: str | list[TextPart], as_parts: bool) -> str | list[dict[str, str]]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if as_parts else content
    if as_parts:
        return [{"type": "text", "text": part.text} for part in content]
    return "\n".join(part.text for part in content)


def _call(call: ToolCall, position: int, at: int) -> dict[str, Any]:
    """Templates want the arguments as an object; on the wire they are JSON in a string."""
    field = f"messages.{position}.tool_calls.{at}.function.arguments"
    try:
        arguments = msgspec.json.decode(call.function.arguments or "{}")
    except (msgspec.MsgspecError, RecursionError) as error:
        raise bad_request(f"{field} is not valid JSON: {error}.", field) from None
    return {
        "id": call.id,
        "type": call.type,
        "function": {"name": call.function.name, "arguments": arguments},
    }
