"""/v1/messages, as Anthropic's client speaks it."""

from fastapi import APIRouter, Request, Response

from paddock.server.generation.read_choice import ReadChoice
from paddock.server.messages.chat_request import chat_request, shows_thinking
from paddock.server.messages.format import MessageFormat
from paddock.server.protocol.message_replies import MessageReply, MessageUsage, TokensCount
from paddock.server.protocol.messages import CountTokensRequest, MessagesRequest
from paddock.server.protocol.parsing import parse_request
from paddock.server.routes.as_json import as_json
from paddock.server.routes.chat_turn import chat_turn
from paddock.server.routes.prepare import answer
from paddock.server.routes.rendering import encode_messages
from paddock.server.serving import Serving

router = APIRouter()


@router.post("/v1/messages")
async def create_message(http: Request) -> Response:
    serving: Serving = http.app.state.serving
    serving.client.refuse_if_unavailable()
    request = parse_request(MessagesRequest, await http.body(), http.headers.get("content-type"))
    model = serving.model_name(request.model)
    turn = await chat_turn(chat_request(request, serving), serving, request.thinking_budget)
    message = MessageReply(f"msg_{turn.unique}", model, [], MessageUsage(len(turn.prompt.token_ids)))
    reply = MessageFormat(message, ReadChoice(turn.new_parser()), shows_thinking(request))
    return answer(http, turn.request, [turn.prompt], turn.sequences, reply, serving, shows_cached=True)


@router.post("/v1/messages/count_tokens")
async def count_tokens(http: Request) -> Response:
    serving: Serving = http.app.state.serving
    request = parse_request(CountTokensRequest, await http.body(), http.headers.get("content-type"))
    serving.model_name(request.model)
    _, token_ids = await encode_messages(chat_request(request, serving), serving)
    return as_json(TokensCount(len(token_ids)))
