"""/v1/completions"""

from uuid import uuid4

from fastapi import APIRouter, Request, Response

from paddock.server.errors import bad_request
from paddock.server.generation.best_of import BestOfFormat
from paddock.server.generation.completion_format import CompletionFormat, CompletionOptions, EchoedPrompt
from paddock.server.generation.format import ReplyIdentity
from paddock.server.generation.sampling import check_against_model, check_tokens
from paddock.server.protocol.completions import CompletionRequest
from paddock.server.protocol.parsing import parse_request
from paddock.server.routes.prepare import Prompt, answer, sequences, truncate, words_of
from paddock.server.routes.token_only import as_served
from paddock.server.serving import Serving

router = APIRouter()


@router.post("/v1/completions")
async def completions(http: Request) -> Response:
    serving: Serving = http.app.state.serving
    serving.client.refuse_if_unavailable()
    request = parse_request(CompletionRequest, await http.body(), http.headers.get("content-type"))
    model = serving.model_name(request.model)
    check_against_model(request, serving.limits)
    request = as_served(request, serving)
    prompts = await _prompts(request, serving)
    unique = uuid4().hex
    constraint = serving.constraints.of_completion(request.constraint())
    logprobs = _prompt_logprobs_wanted(request)
    identity = ReplyIdentity.new("cmpl", request.request_id or unique, model)
    reply = _format(request, prompts, identity, serving)
    # To what comes now all that is generated is a choice, and has log-probabilities to be told by; the reply shows some.
    request = request.model_copy(
        update={"n": request.num_generated, "logprobs": request.top_logprobs_wanted()}
    )
    made = await sequences(request, prompts, logprobs, unique, serving, constraint)
    return answer(http, request, prompts, made, reply, serving)


async def _prompts(request: CompletionRequest, serving: Serving) -> list[Prompt]:
    if request.token_prompts:
        for token_ids in request.token_prompts:
            check_tokens(token_ids, serving.limits, "prompt")
        return [Prompt(truncate(token_ids, request, serving)) for token_ids in request.token_prompts]
    texts = request.text_prompts
    encoded = await serving.encode(texts, request.add_special_tokens, "prompt")
    if not all(encoded):
        raise bad_request("prompt: an empty text has no tokens to continue.", "prompt")
    return [Prompt(truncate(ids, request, serving), text) for ids, text in zip(encoded, texts, strict=True)]


def _prompt_logprobs_wanted(request: CompletionRequest) -> int | None:
    """What the engine must report of the prompt: for the caller's own field, and for an echo with logprobs."""
    wanted = [request.prompt_logprobs, request.logprobs if request.echo else None]
    return max((top for top in wanted if top is not None), default=None)


def _format(
    request: CompletionRequest, prompts: list[Prompt], identity: ReplyIdentity, serving: Serving
) -> CompletionFormat:
    options = CompletionOptions(
        logprobs=request.logprobs,
        prompt_logprobs=request.prompt_logprobs is not None,
        shows_tokens=request.max_tokens != 0,
        prompt_token_ids=[prompt.token_ids for prompt in prompts] if request.return_token_ids else None,
    )
    echoed = [_echo(prompt, request, serving) for prompt in prompts] if request.echo else []
    words = words_of(request, serving)
    if request.chooses:
        return BestOfFormat(identity, request.n, echoed, options, words, best_of=request.num_generated)
    return CompletionFormat(identity, request.n, echoed, options, words)


def _echo(prompt: Prompt, request: CompletionRequest, serving: Serving) -> EchoedPrompt:
    detokenizer = serving.tokenizer.detokenizer([], request.skip_special_tokens)
    offsets: list[int] = []
    text = ""
    for token_id in prompt.token_ids:
        offsets.append(len(text))
        text += detokenizer.push(token_id)
    text += detokenizer.flush()
    whole = prompt.text is not None and request.truncate_prompt_tokens is None
    return EchoedPrompt(prompt.text or "" if whole else text, prompt.token_ids, offsets)
