"""What both generation endpoints do between the parsed request and the answer."""

import time
from dataclasses import dataclass

from starlette.requests import Request

from paddock.engine.messages import AddRequest
from paddock.engine.structured_output.constraint import Constraint
from paddock.server.errors import bad_request
from paddock.server.generation.answer import Answer, StreamChoice
from paddock.server.generation.beam_answer import BeamAnswer
from paddock.server.generation.choice import Choice
from paddock.server.generation.format import ReplyFormat, TokenCount
from paddock.server.generation.logprobs import LogprobFormat
from paddock.server.generation.sampling import BadWords, sampling_for_choice, token_budget
from paddock.server.middleware.request_id import rename_request, request_id_of
from paddock.server.protocol.common import GenerationRequest
from paddock.server.request_log import OutputLog, log_request
from paddock.server.routes.beams import beam_answer
from paddock.server.serving import Serving
from paddock.server.tracing.record import Asked, trace_of


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt as the engine takes it; `text` is None when it came as token ids."""

    token_ids: list[int]
    text: str | None = None


def truncate(token_ids: list[int], request: GenerationRequest, serving: Serving) -> list[int]:
    """Keep the last `truncate_prompt_tokens`; -1 keeps what leaves room for the answer."""
    keep = request.truncate_prompt_tokens
    if keep is None:
        return token_ids
    if keep == -1:
        keep = max(1, serving.limits.max_model_len - (request.token_limit() or 1))
    return token_ids[-keep:]


async def sequences(
    request: GenerationRequest,
    prompts: list[Prompt],
    prompt_logprobs: int | None,
    unique: str,
    serving: Serving,
    constraint: Constraint | None = None,
) -> list[AddRequest]:
    """n engine requests per prompt, in the order of the choices. Raises ApiError 400 for a prompt too long."""
    if not request.spaces_between_special_tokens and serving.sets_special_tokens_apart:
        raise bad_request(
            "spaces_between_special_tokens: this model's tokenizer always sets special tokens apart; leave it out.",
            "spaces_between_special_tokens",
        )
    arrival = time.time()
    bad_words = await _bad_words(request, serving) if request.bad_words else ()
    made: list[AddRequest] = []
    for prompt in prompts:
        budget = token_budget(request, len(prompt.token_ids), serving.limits, serving.defaults.max_new_tokens)
        for choice in range(request.n):
            sampling = sampling_for_choice(
                request, choice, budget, prompt_logprobs, bad_words, serving.defaults, constraint
            )
            made.append(
                AddRequest(
                    request_id=f"{unique}-{len(made)}",
                    prompt_token_ids=prompt.token_ids,
                    sampling=sampling,
                    arrival_time=arrival,
                    priority=request.priority,
                    cache_salt=request.cache_salt,
                    adapter=serving.adapter_name(request.model),
                )
            )
    return made


async def _bad_words(request: GenerationRequest, serving: Serving) -> BadWords:
    """Each word as tokens, at the start of a text and after a space; a tokenizer may word these differently."""
    words = [word.strip() for word in request.bad_words]
    texts = [prefix + word for word in words for prefix in ("", " ")]
    encoded = await serving.encode(texts, False, "bad_words")
    return tuple(sorted({tuple(token_ids) for token_ids in encoded if token_ids}))


def words_of(request: GenerationRequest, serving: Serving) -> LogprobFormat:
    """How this reply words tokens; the request's own wish goes before the server's."""
    as_ids = request.return_tokens_as_token_ids
    return LogprobFormat(
        serving.tokenizer, serving.frontend.return_tokens_as_token_ids if as_ids is None else as_ids
    )


def answer(
    http: Request,
    request: GenerationRequest,
    prompts: list[Prompt],
    made: list[AddRequest],
    reply: ReplyFormat,
    serving: Serving,
    *,
    shows_cached: bool = False,
) -> Answer | BeamAnswer:
    """The response that runs these sequences. `shows_cached` counts cached tokens whatever the server was told."""
    frontend = serving.frontend
    serving.metrics.observe_request(request.n, request.token_limit())
    if request.request_id is not None:
        rename_request(http.scope, request.request_id)
    request_id = request_id_of(http.scope)
    if serving.log_requests:
        log_request(request_id, prompts[0].text or prompts[0].token_ids, made, frontend.max_log_len)
    choices = [_choice(sequence, request, serving) for sequence in made]
    tokens = TokenCount(
        sum(len(prompt.token_ids) for prompt in prompts),
        generates=request.token_limit() != 0,
        shows_cached=shows_cached or frontend.enable_prompt_tokens_details,
    )
    output_log = OutputLog(request_id, frontend.max_log_len) if frontend.enable_log_outputs else None
    trace = trace_of(http.scope)
    if trace is not None:
        model = request.model or serving.model_names[0]
        trace.asked = Asked(model, made[0], request.n, request.stream, tokens)
    if request.use_beam_search:
        return beam_answer(request, made, choices, reply, tokens, output_log, serving)
    how = _stream_choice(request, frontend.enable_force_include_usage)
    return Answer(serving.client, made, choices, reply, tokens, how, request.n, output_log)


def _choice(sequence: AddRequest, request: GenerationRequest, serving: Serving) -> Choice:
    return Choice(
        serving.tokenizer.detokenizer(sequence.prompt_token_ids, request.skip_special_tokens),
        request.stop,
        min_tokens=request.min_tokens,
        include_stop=request.include_stop_str_in_output,
        keep_ids=request.return_token_ids,
    )


def _stream_choice(request: GenerationRequest, always_usage: bool) -> StreamChoice:
    options = request.stream_options
    return StreamChoice(
        stream=request.stream,
        include_usage=always_usage or bool(options and options.include_usage),
        continuous_usage=always_usage or bool(options and options.continuous_usage_stats),
    )
