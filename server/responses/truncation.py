"""`truncation: auto`: old turns are left out until the rest fits into the context."""

from collections.abc import Mapping, Sequence
from typing import Any

from paddock.server.errors import ApiError, ContextExceededError
from paddock.server.protocol.responses import CountRequest, ResponseRequest
from paddock.server.responses.chat_request import chat_request, under_own_name
from paddock.server.responses.conversation import Item
from paddock.server.routes.chat_turn import ChatTurn, chat_turn
from paddock.server.serving import Serving


async def turn_within_context(
    request: ResponseRequest | CountRequest,
    fields: Mapping[str, Any],
    items: Sequence[Item],
    serving: Serving,
) -> ChatTurn:
    """Raises ApiError 400."""
    if request.truncation == "disabled":
        return await _turn(request, fields, items, serving)
    # A turn begins with what the user says: cut elsewhere, calls would lose their results.
    starts = [0, *(at for at, item in enumerate(items) if at and item.get("role") == "user")]
    low, high = 0, len(starts) - 1
    while low < high:
        middle = (low + high) // 2
        try:
            await _turn(request, fields, items[starts[middle] :], serving)
        except ContextExceededError:
            low = middle + 1
        else:
            high = middle
    return await _turn(request, fields, items[starts[low] :], serving)


async def _turn(
    request: ResponseRequest | CountRequest,
    fields: Mapping[str, Any],
    items: Sequence[Item],
    serving: Serving,
) -> ChatTurn:
    chat = chat_request(request, fields, items)
    try:
        return await chat_turn(chat, serving)
    except ContextExceededError as error:
        raise ContextExceededError(error.message, under_own_name(error).param or "input") from None
    except ApiError as error:
        raise under_own_name(error) from None
