"""/v1/chat/completions"""

from uuid import uuid4

from fastapi import APIRouter, Request, Response

from paddock.server.chat.messages import template_messages
from paddock.server.chat.template import TemplateError
from paddock.server.errors import bad_request
from paddock.server.generation.chat_format import ChatFormat
from paddock.server.generation.format import ReplyIdentity
from paddock.server.generation.logprobs import LogprobFormat
from paddock.server.generation.sampling import check_against_model
from paddock.server.protocol.chat import ChatRequest
from paddock.server.protocol.parsing import parse_request
from paddock.server.routes.prepare import Prompt, answer, sequences, truncate
from paddock.server.serving import Serving

router = APIRouter()


@router.post("/v1/chat/completions")
async def chat_completions(http: Request) -> Response:
    serving: Serving = http.app.state.serving
    serving.client.refuse_if_unavailable()
    request = parse_request(ChatRequest, await http.body(), http.headers.get("content-type"))
    model = serving.model_name(request.model)
    check_against_model(request, serving.limits)
    text = _render(request, serving)
    [token_ids] = await serving.encode([text], request.add_special_tokens, "messages")
    prompts = [Prompt(truncate(token_ids, request, serving), text)]
    if not token_ids:
        raise bad_request("messages: the chat template made an empty prompt of them.", "messages")
    unique = uuid4().hex
    made = sequences(request, prompts, request.prompt_logprobs, unique, serving)
    reply = _format(request, ReplyIdentity.new("chatcmpl", unique, model), serving)
    return answer(http, request, prompts, made, reply, serving)


def _render(request: ChatRequest, serving: Serving) -> str:
    template = serving.chat_template
    if template is None:
        raise bad_request(
            "This model has no chat template, so it cannot take messages. Start the server with --chat-template, or "
            "send a prompt to /v1/completions.",
            "messages",
        )
    try:
        return template.render(
            template_messages(request.messages, template.wants_parts),
            documents=request.documents,
            add_generation_prompt=request.add_generation_prompt,
            continue_final_message=request.continue_final_message,
            variables=request.chat_template_kwargs,
        )
    except TemplateError as error:
        raise bad_request(f"{error}.", "messages") from None


def _format(request: ChatRequest, identity: ReplyIdentity, serving: Serving) -> ChatFormat:
    words = LogprobFormat(serving.tokenizer, request.return_tokens_as_token_ids)
    role = request.messages[-1].role if not request.add_generation_prompt else "assistant"
    return ChatFormat(
        identity,
        request.n,
        role,
        words if request.logprobs else None,
        words if request.prompt_logprobs is not None else None,
    )
