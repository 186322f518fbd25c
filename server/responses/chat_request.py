"""A Responses request as the chat request that it comes to."""

from collections.abc import Mapping, Sequence
from typing import Any

from paddock.server.errors import ApiError, bad_request
from paddock.server.protocol.chat import ChatRequest
from paddock.server.protocol.parsing import check_fields
from paddock.server.protocol.response_items import AllowedTools, ChosenFunction, ResponseTool, TextFormat
from paddock.server.protocol.responses import LOGPROBS, CountRequest, ResponseRequest
from paddock.server.protocol.sampling_fields import SamplingFields
from paddock.server.responses.conversation import Item, chat_messages

OWN_NAMES = {
    "messages": "input",
    "max_tokens": "max_output_tokens",
    "reasoning_effort": "reasoning.effort",
    "response_format": "text.format",
}
"""What fields of a chat request are called here."""


def chat_request(
    request: ResponseRequest | CountRequest, fields: Mapping[str, Any], items: Sequence[Item]
) -> ChatRequest:
    """`fields` are those that `request` was read from. Raises ApiError 400."""
    asked: dict[str, Any] = {
        "model": request.model,
        "messages": chat_messages(request.instructions, items),
        "chat_template_kwargs": request.chat_template_kwargs,
        "parallel_tool_calls": request.parallel_tool_calls,
        **_tools(request),
    }
    if request.reasoning is not None:
        asked["reasoning_effort"] = request.reasoning.effort
    if request.text is not None and request.text.format is not None:
        asked["response_format"] = _response_format(request.text.format)
    if isinstance(request, ResponseRequest):
        asked |= {name: fields[name] for name in SamplingFields.model_fields if name in fields}
        asked |= {"max_tokens": request.max_output_tokens, "stream": request.stream or request.background}
        if LOGPROBS in request.include:
            asked |= {"logprobs": True, "top_logprobs": request.top_logprobs}
    try:
        return check_fields(ChatRequest, asked)
    except ApiError as error:
        raise under_own_name(error) from None


def under_own_name(error: ApiError) -> ApiError:
    """The same error, about the field that the caller knows."""
    field, dot, rest = (error.param or "").partition(".")
    if field not in OWN_NAMES:
        return error
    return ApiError(error.status, error.message, OWN_NAMES[field] + dot + rest, error.headers)


def _tools(request: ResponseRequest | CountRequest) -> dict[str, Any]:
    choice, offered = request.tool_choice, list(request.tools)
    if isinstance(choice, AllowedTools):
        offered = _allowed(offered, choice)
    tools = [_tool(tool) for tool in offered] or None
    if isinstance(choice, AllowedTools):
        return {"tools": tools, "tool_choice": choice.mode}
    if isinstance(choice, ChosenFunction):
        return {"tools": tools, "tool_choice": {"type": "function", "function": {"name": choice.name}}}
    return {"tools": tools, "tool_choice": choice}


def _allowed(offered: list[ResponseTool], choice: AllowedTools) -> list[ResponseTool]:
    names = {tool.name for tool in choice.tools}
    if unknown := names - {tool.name for tool in offered}:
        raise bad_request(f"tool_choice allows {min(unknown)!r}, which tools does not hold.", "tool_choice")
    return [tool for tool in offered if tool.name in names]


def _tool(tool: ResponseTool) -> dict[str, Any]:
    return {"type": "function", "function": tool.model_dump(exclude={"type"}, exclude_none=True)}


def _response_format(form: TextFormat) -> dict[str, Any]:
    if form.type != "json_schema":
        return {"type": form.type}
    schema = form.model_dump(by_alias=True, exclude={"type"}, exclude_none=True)
    return {"type": "json_schema", "json_schema": schema}
