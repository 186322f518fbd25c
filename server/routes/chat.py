"""/v1/chat/completions"""

from fastapi import APIRouter, Request, Response

from paddock.server.generation.chat_format import ChatFormat, ChatOptions
from paddock.server.generation.format import ReplyIdentity
from paddock.server.generation.logprobs import LogprobFormat
from paddock.server.generation.parsed_chat_format import ParsedChatFormat
from paddock.server.protocol.chat import ChatRequest
from paddock.server.protocol.conversation import text_of
from paddock.server.protocol.parsing import parse_request
from paddock.server.routes.chat_turn import ChatTurn, chat_turn
from paddock.server.routes.prepare import answer, words_of
from paddock.server.serving import Serving

router = APIRouter()


@router.post("/v1/chat/completions")
async def chat_completions(http: Request) -> Response:
    serving: Serving = http.app.state.serving
    serving.client.refuse_if_unavailable()
    request = parse_request(ChatRequest, await http.body(), http.headers.get("content-type"))
    model = serving.model_name(request.model)
    turn = await chat_turn(request, serving)
    identity = ReplyIdentity.new("chatcmpl", request.request_id or turn.unique, model)
    reply = _format(turn, identity, serving)
    return answer(http, turn.request, [turn.prompt], turn.sequences, reply, serving)


def _format(turn: ChatTurn, identity: ReplyIdentity, serving: Serving) -> ChatFormat:
    request = turn.request
    words: LogprobFormat = words_of(request, serving)
    last = request.messages[-1]
    role = serving.frontend.response_role if request.add_generation_prompt else last.role
    options = ChatOptions(
        role=role,
        echoed=text_of(last) if request.echo and last.role == role else "",
        logprobs=words if request.logprobs else None,
        prompt_logprobs=words if request.prompt_logprobs is not None else None,
        prompt_token_ids=turn.prompt.token_ids if request.return_token_ids else None,
    )
    if turn.reading is None:
        return ChatFormat(identity, request.n, options)
    return ParsedChatFormat(identity, request.n, options, turn.reading.new_parser, request.include_reasoning)
