"""/v1/chat/completions"""

from uuid import uuid4

from fastapi import APIRouter, Request, Response

from paddock.engine.structured_output.constraint import Constraint
from paddock.server.generation.answer_parsers import AnswerReading
from paddock.server.generation.chat_format import ChatFormat, ChatOptions
from paddock.server.generation.format import ReplyIdentity
from paddock.server.generation.logprobs import LogprobFormat
from paddock.server.generation.parsed_chat_format import ParsedChatFormat
from paddock.server.generation.sampling import check_against_model
from paddock.server.protocol.chat import ChatRequest
from paddock.server.protocol.conversation import Message
from paddock.server.protocol.parsing import parse_request
from paddock.server.routes.prepare import Prompt, answer, sequences, truncate, words_of
from paddock.server.routes.rendering import encode_messages
from paddock.server.routes.token_only import as_served
from paddock.server.routes.tool_choice import refuse_unparsable_calls
from paddock.server.serving import Serving
from paddock.server.tools.forced import forced_calls, forced_parser

router = APIRouter()


@router.post("/v1/chat/completions")
async def chat_completions(http: Request) -> Response:
    serving: Serving = http.app.state.serving
    serving.client.refuse_if_unavailable()
    request = parse_request(ChatRequest, await http.body(), http.headers.get("content-type"))
    model = serving.model_name(request.model)
    check_against_model(request, serving.limits)
    request = as_served(request, serving)
    refuse_unparsable_calls(request, serving)
    text, token_ids = await encode_messages(request, serving)
    reading = _reading(request, text, serving)
    if reading is not None and reading.needs_special_tokens:
        request = request.model_copy(update={"skip_special_tokens": False})
    prompt = Prompt(truncate(token_ids, request, serving), text)
    unique = uuid4().hex
    constraint = _constraint(request, text, serving)
    made = await sequences(request, [prompt], request.prompt_logprobs, unique, serving, constraint)
    identity = ReplyIdentity.new("chatcmpl", request.request_id or unique, model)
    reply = _format(request, prompt, identity, reading, serving)
    return answer(http, request, [prompt], made, reply, serving)


def _constraint(request: ChatRequest, text: str, serving: Serving) -> Constraint | None:
    forced = (
        forced_calls(request.tool_choice, request.tools or (), request.parallel_tool_calls)
        if request.must_call
        else None
    )
    asked = request.constraint() if forced is None else forced
    field = "tool_choice" if forced is not None else "response_format"
    return serving.constraints.of_chat(asked, text, _continued(request), field)


def _continued(request: ChatRequest) -> str | None:
    return _text(request.messages[-1]) if request.continue_final_message else None


def _reading(request: ChatRequest, text: str, serving: Serving) -> AnswerReading | None:
    return serving.parsers.reading(
        request.tools or [] if request.may_call else [],
        parallel=request.parallel_tool_calls,
        prompt=text,
        continued=_continued(request),
        forced=forced_parser(request.tool_choice) if request.must_call else None,
    )


def _format(
    request: ChatRequest,
    prompt: Prompt,
    identity: ReplyIdentity,
    reading: AnswerReading | None,
    serving: Serving,
) -> ChatFormat:
    words: LogprobFormat = words_of(request, serving)
    last = request.messages[-1]
    role = serving.frontend.response_role if request.add_generation_prompt else last.role
    options = ChatOptions(
        role=role,
        echoed=_text(last) if request.echo and last.role == role else "",
        logprobs=words if request.logprobs else None,
        prompt_logprobs=words if request.prompt_logprobs is not None else None,
        prompt_token_ids=prompt.token_ids if request.return_token_ids else None,
    )
    if reading is None:
        return ChatFormat(identity, request.n, options)
    return ParsedChatFormat(identity, request.n, options, reading.new_parser, request.include_reasoning)


def _text(message: Message) -> str:
    if message.content is None or isinstance(message.content, str):
        return message.content or ""
    return "\n".join(part.text for part in message.content)
