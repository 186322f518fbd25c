"""/v1/responses: make one, or count what one would read."""

import time
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse

from paddock.server.errors import bad_request
from paddock.server.generation.answer import STREAM_HEADERS
from paddock.server.generation.read_choice import ReadChoice
from paddock.server.protocol.parsing import check_fields, read_object
from paddock.server.protocol.response_replies import InputTokens, ResponseReply
from paddock.server.protocol.responses import LOGPROBS, CountRequest, ResponseRequest, refuse_unknown_services
from paddock.server.responses.background import run_in_background
from paddock.server.responses.conversation import Item, as_items
from paddock.server.responses.format import ResponseFormat
from paddock.server.responses.store import ResponseStore, StoredResponse
from paddock.server.responses.truncation import turn_within_context
from paddock.server.routes.as_json import as_json
from paddock.server.routes.chat_turn import ChatTurn
from paddock.server.routes.prepare import answer, words_of
from paddock.server.serving import Serving

router = APIRouter()
EVENT_STREAM = {name.decode(): value.decode() for name, value in STREAM_HEADERS}


@router.post("/v1/responses")
async def create_response(http: Request) -> Response:
    serving: Serving = http.app.state.serving
    serving.client.refuse_if_unavailable()
    fields = await _fields(http)
    request = check_fields(ResponseRequest, fields)
    model = serving.model_name(request.model)
    store = _store(request, serving)
    items = _items(request, fields, serving)
    turn = await turn_within_context(request, fields, items, serving)
    response = _response(request, turn, model, store is not None, serving)
    stored = StoredResponse(response, items, [] if request.background and request.stream else None)
    reply = ResponseFormat(
        response,
        ReadChoice(turn.new_parser()),
        words_of(turn.request, serving) if LOGPROBS in request.include else None,
        keep=lambda: None if store is None or request.background else store.add(stored),
    )
    made = answer(http, turn.request, [turn.prompt], turn.sequences, reply, serving, shows_cached=True)
    if not request.background or store is None:
        return made
    run_in_background(made, http.scope, reply, stored, store)
    return event_stream(stored, -1) if request.stream else as_json(response)


@router.post("/v1/responses/input_tokens")
async def count_input_tokens(http: Request) -> Response:
    serving: Serving = http.app.state.serving
    fields = await _fields(http)
    request = check_fields(CountRequest, fields)
    serving.model_name(request.model)
    turn = await turn_within_context(request, fields, _items(request, fields, serving), serving)
    return as_json(InputTokens(len(turn.prompt.token_ids)))


def event_stream(stored: StoredResponse, after: int) -> Response:
    return StreamingResponse(stored.follow(after), headers=EVENT_STREAM)


async def _fields(http: Request) -> Mapping[str, Any]:
    fields = read_object(await http.body(), http.headers.get("content-type"))
    refuse_unknown_services(fields)
    return fields


def _items(
    request: ResponseRequest | CountRequest, fields: Mapping[str, Any], serving: Serving
) -> list[Item]:
    items = as_items(fields["input"])
    if request.previous_response_id is None:
        return items
    if serving.responses is None:
        raise _no_store("previous_response_id")
    previous = serving.responses.get(request.previous_response_id)
    if previous.response.status not in ("completed", "incomplete"):
        raise bad_request(
            f"previous_response_id: that response is {previous.response.status}; only one that has ended can be "
            "continued.",
            "previous_response_id",
        )
    return [*previous.conversation(), *items]


def _store(request: ResponseRequest, serving: Serving) -> ResponseStore | None:
    """Where this response is kept. Raises ApiError 400 when it cannot be and was to be."""
    if request.store is False:
        return None
    if serving.responses is None and (request.store or request.background):
        raise _no_store("background" if request.background else "store")
    return serving.responses


def _no_store(field: str) -> Exception:
    return bad_request(
        f"{field}: this server stores no responses, since it has several processes and another one might be asked for "
        "them. Send the whole conversation as input, or start it with --api-server-count 1.",
        field,
    )


def _response(
    request: ResponseRequest, turn: ChatTurn, model: str, is_stored: bool, serving: Serving
) -> ResponseReply:
    sampling = turn.sequences[0].sampling
    form = request.text.format if request.text is not None else None
    effort = request.reasoning.effort if request.reasoning is not None else None
    choice = request.tool_choice
    return ResponseReply(
        id=f"resp_{turn.unique}",
        created_at=int(time.time()),
        status="queued" if request.background else "in_progress",
        model=model,
        background=request.background,
        instructions=request.instructions,
        max_output_tokens=request.max_output_tokens,
        metadata=request.metadata,
        parallel_tool_calls=request.parallel_tool_calls,
        previous_response_id=request.previous_response_id,
        reasoning={"effort": effort, "summary": None},
        store=is_stored,
        temperature=sampling.temperature,
        text={
            "format": {"type": "text"} if form is None else form.model_dump(by_alias=True, exclude_none=True)
        },
        tool_choice=choice if isinstance(choice, str) else choice.model_dump(),
        tools=[tool.model_dump() for tool in request.tools],
        top_logprobs=request.top_logprobs or 0,
        top_p=sampling.top_p,
        truncation=request.truncation,
    )
