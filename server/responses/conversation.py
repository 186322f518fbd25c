"""Items of a Responses conversation as the messages that chat templates read."""

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import uuid4

Item = dict[str, Any]
"""In the form of the API, with an id."""

PREFIXES = {"message": "msg", "reasoning": "rs", "function_call": "fc", "function_call_output": "fco"}


def new_id(kind: str) -> str:
    return f"{PREFIXES[kind]}_{uuid4().hex}"


def as_items(given: str | list[Mapping[str, Any]]) -> list[Item]:
    """The input of a checked request in one form: types named, texts as parts, each with an id."""
    if isinstance(given, str):
        given = [{"role": "user", "content": given}]
    return [_item(each) for each in given]


def _item(given: Mapping[str, Any]) -> Item:
    kind = given.get("type", "message")
    item = {name: value for name, value in given.items() if value is not None}
    item |= {"type": kind, "id": given.get("id") or new_id(kind)}
    if kind == "message" and isinstance(item["content"], str):
        part = "output_text" if item["role"] == "assistant" else "input_text"
        item["content"] = [{"type": part, "text": item["content"]}]
    return item


def chat_messages(instructions: str | None, items: Iterable[Item]) -> list[dict[str, Any]]:
    """Reasoning, text and calls that follow each other are one message of the assistant's."""
    messages: list[dict[str, Any]] = []
    if instructions is not None:
        messages.append({"role": "system", "content": instructions})
    for item in items:
        _add(item, messages)
    for message in messages:
        if message.get("tool_calls") and not message["content"]:
            del message["content"]
    return messages


def _add(item: Item, messages: list[dict[str, Any]]) -> None:
    match item["type"]:
        case "reasoning":
            thought = _joined(item.get("content") or item.get("summary") or ())
            messages.append({"role": "assistant", "content": "", "reasoning": thought})
        case "function_call" if item.get("status") == "incomplete":
            pass  # cut off by the length: its arguments are no JSON, and nobody has run it
        case "function_call":
            function = {"name": item["name"], "arguments": item["arguments"]}
            call = {"id": item["call_id"], "type": "function", "function": function}
            _assistant(messages).setdefault("tool_calls", []).append(call)
        case "function_call_output":
            content = item["output"] if isinstance(item["output"], str) else _joined(item["output"])
            messages.append({"role": "tool", "tool_call_id": item["call_id"], "content": content})
        case _ if item["role"] == "assistant":
            _assistant(messages, to_speak=True)["content"] = _joined(item["content"])
        case _:
            messages.append({"role": item["role"], "content": _joined(item["content"])})


def _assistant(messages: list[dict[str, Any]], to_speak: bool = False) -> dict[str, Any]:
    """The message of the assistant's that a part belongs to: the last, unless text would come after what it holds."""
    last = messages[-1] if messages else {}
    if last.get("role") != "assistant" or (to_speak and (last["content"] or last.get("tool_calls"))):
        messages.append({"role": "assistant", "content": ""})
    return messages[-1]


def _joined(parts: Iterable[Mapping[str, Any]]) -> str:
    return "\n".join(part["refusal"] if part["type"] == "refusal" else part["text"] for part in parts)
