"""A Messages request as the chat request that it comes to."""

import json
from collections.abc import Iterator
from typing import Any

from paddock.server.chat.template import ChatTemplate
from paddock.server.errors import bad_request
from paddock.server.protocol.chat import ChatRequest
from paddock.server.protocol.message_blocks import (
    AssistantTurn,
    TextBlock,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
    Turn,
    joined,
)
from paddock.server.protocol.messages import (
    CountTokensRequest,
    MessagesRequest,
    MessageTool,
    MustCall,
    NoCall,
    ThinkingOff,
)
from paddock.server.protocol.parsing import check_fields
from paddock.server.serving import Serving

SWITCHES = ("enable_thinking", "thinking")
"""Template variables that turn thinking on and off."""


def chat_request(request: CountTokensRequest, serving: Serving) -> ChatRequest:
    """Raises ApiError 400."""
    asked: dict[str, Any] = {
        "model": request.model,
        "messages": list(_messages(request)),
        "continue_final_message": _is_begun(request.messages[-1]),
        "chat_template_kwargs": _thinking(request, serving),
        "include_reasoning": shows_thinking(request),
        **_tools(request),
        **_output(request),
    }
    if isinstance(request, MessagesRequest):
        asked |= {
            name: getattr(request, name) for name in ("max_tokens", "stream", "temperature", "top_p", "top_k")
        }
        asked["stop"] = request.stop_sequences
    return check_fields(ChatRequest, asked)


def shows_thinking(request: CountTokensRequest) -> bool:
    thinking = request.thinking
    return not isinstance(thinking, ThinkingOff) and getattr(thinking, "display", None) != "omitted"


def _is_begun(last: Turn) -> bool:
    """A last turn of the assistant's is the beginning of the answer."""
    return isinstance(last, AssistantTurn) and (
        isinstance(last.content, str) or not any(isinstance(block, ToolUseBlock) for block in last.content)
    )


def _messages(request: CountTokensRequest) -> Iterator[dict[str, Any]]:
    if request.system:
        yield {"role": "system", "content": joined(request.system)}
    for turn in request.messages:
        if isinstance(turn.content, str):
            yield {"role": turn.role, "content": turn.content}
        elif isinstance(turn, AssistantTurn):
            yield _assistant_message(turn)
        else:
            yield from _said(turn.role, turn.content)


def _said(role: str, blocks: list[Any]) -> Iterator[dict[str, Any]]:
    """Results of tools are messages of their own, before what the user says beside them."""
    for block in blocks:
        if isinstance(block, ToolResultBlock):
            content = ("Error: " if block.is_error else "") + joined(block.content)
            yield {"role": "tool", "tool_call_id": block.tool_use_id, "content": content}
    texts = [block for block in blocks if isinstance(block, TextBlock)]
    if texts or not blocks:
        yield {"role": role, "content": joined(texts)}


def _assistant_message(turn: AssistantTurn) -> dict[str, Any]:
    blocks = [block for block in turn.content if not isinstance(block, str)]
    message: dict[str, Any] = {"role": "assistant"}
    texts = [block for block in blocks if isinstance(block, TextBlock)]
    calls = [_call(block) for block in blocks if isinstance(block, ToolUseBlock)]
    thoughts = [block.thinking for block in blocks if isinstance(block, ThinkingBlock)]
    if texts or not calls:
        message["content"] = joined(texts)
    if calls:
        message["tool_calls"] = calls
    if thoughts:
        message["reasoning"] = "\n".join(thoughts)
    return message


def _call(block: ToolUseBlock) -> dict[str, Any]:
    function = {"name": block.name, "arguments": json.dumps(block.input)}
    return {"id": block.id, "type": "function", "function": function}


def _tools(request: CountTokensRequest) -> dict[str, Any]:
    choice = request.tool_choice
    fields: dict[str, Any] = {"tools": [_tool(tool) for tool in request.tools] or None}
    if choice is None:
        return fields
    if isinstance(choice, NoCall):
        return {**fields, "tool_choice": "none"}
    fields["parallel_tool_calls"] = not choice.disable_parallel_tool_use
    if isinstance(choice, MustCall):
        return {**fields, "tool_choice": {"type": "function", "function": {"name": choice.name}}}
    return {**fields, "tool_choice": "required" if choice.type == "any" else "auto"}


def _tool(tool: MessageTool) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name, "parameters": tool.input_schema}
    function |= {"description": tool.description, "strict": tool.strict}
    return {"type": "function", "function": function}


def _output(request: CountTokensRequest) -> dict[str, Any]:
    output = request.output_config
    if output is None:
        return {}
    fields: dict[str, Any] = {"reasoning_effort": output.effort}
    if output.format is not None:
        schema = {"name": "output", "schema": output.format.schema_}
        fields["response_format"] = {"type": "json_schema", "json_schema": schema}
    return fields


def _thinking(request: CountTokensRequest, serving: Serving) -> dict[str, Any]:
    """Raises ApiError 400 where a model cannot be told to think."""
    if request.thinking is None:
        return {}
    template: ChatTemplate | None = serving.chat_template
    known = [name for name in SWITCHES if template is not None and name in template.variables]
    is_on = not isinstance(request.thinking, ThinkingOff)
    if is_on and not known and serving.parsers.reasoning is None:
        raise bad_request(
            "thinking: the chat template of this model knows no thinking, and the server has no --reasoning-parser; "
            "leave it out.",
            "thinking",
        )
    return dict.fromkeys(known, is_on)
