"""/v1/responses/{id}: fetch, follow, cancel and delete what was stored."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response

from paddock.server.errors import ApiError, bad_request
from paddock.server.protocol.response_replies import DeletedResponse, InputItems
from paddock.server.responses.store import ResponseStore, StoredResponse
from paddock.server.routes.as_json import as_json
from paddock.server.routes.responses import event_stream
from paddock.server.serving import Serving

router = APIRouter()


@router.get("/v1/responses/{response_id}")
async def retrieve_response(
    http: Request,
    response_id: str,
    stream: bool = False,
    starting_after: Annotated[int | None, Query(ge=0)] = None,
) -> Response:
    stored = _store(http).get(response_id)
    if not stream:
        if starting_after is not None:
            raise bad_request("starting_after needs stream=true.", "starting_after")
        return as_json(stored.response)
    if stored.events is None:
        raise bad_request(
            "stream: only what was made with background and stream can be streamed later.", "stream"
        )
    return event_stream(stored, -1 if starting_after is None else starting_after)


@router.post("/v1/responses/{response_id}/cancel")
async def cancel_response(http: Request, response_id: str) -> Response:
    """One that has ended stays as it is."""
    stored = _store(http).get(response_id)
    if not stored.response.background:
        raise bad_request("Only a response that was made with background can be cancelled.", "response_id")
    await _cancel(stored)
    return as_json(stored.response)


@router.delete("/v1/responses/{response_id}")
async def delete_response(http: Request, response_id: str) -> Response:
    store = _store(http)
    stored = store.get(response_id)
    await _cancel(stored)
    store.delete(stored)
    return as_json(DeletedResponse(response_id))


@router.get("/v1/responses/{response_id}/input_items")
async def list_input_items(
    http: Request,
    response_id: str,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    order: Literal["asc", "desc"] = "desc",
    after: str | None = None,
) -> Response:
    """The whole conversation that the response answered, earlier turns included."""
    items = _store(http).get(response_id).input
    if order == "desc":
        items = items[::-1]
    if after is not None:
        ids = [item["id"] for item in items]
        if after not in ids:
            raise bad_request(f"after: there is no item {after[:100]!r}.", "after")
        items = items[ids.index(after) + 1 :]
    page = items[:limit]
    first, last = (page[0]["id"], page[-1]["id"]) if page else (None, None)
    return as_json(InputItems(page, first, last, len(items) > limit))


async def _cancel(stored: StoredResponse) -> None:
    if stored.cancel is not None:
        stored.cancel()
    await stored.ended()


def _store(http: Request) -> ResponseStore:
    serving: Serving = http.app.state.serving
    if serving.responses is None:
        raise ApiError(404, "This server has several processes, so it stores no responses.", "response_id")
    return serving.responses
