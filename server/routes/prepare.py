"""What both generation endpoints do between the parsed request and the answer."""

import time
from dataclasses import dataclass

from starlette.requests import Request

from paddock.engine.messages import AddRequest
from paddock.server.generation.answer import Answer, StreamChoice
from paddock.server.generation.choice import Choice
from paddock.server.generation.format import ReplyFormat, TokenCount
from paddock.server.generation.sampling import sampling_for_choice, token_budget
from paddock.server.middleware.request_id import request_id_of
from paddock.server.protocol.common import GenerationRequest
from paddock.server.request_log import log_request
from paddock.server.serving import Serving


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


def sequences(
    request: GenerationRequest,
    prompts: list[Prompt],
    prompt_logprobs: int | None,
    unique: str,
    serving: Serving,
) -> list[AddRequest]:
    """n engine requests per prompt, in the order of the choices. Raises ApiError 400 for a prompt too long."""
    arrival = time.time()
    made: list[AddRequest] = []
    for prompt in prompts:
        budget = token_budget(request, len(prompt.token_ids), serving.limits, serving.defaults.max_new_tokens)
        for choice in range(request.n):
            sampling = sampling_for_choice(request, choice, budget, prompt_logprobs, serving.defaults)
            made.append(
                AddRequest(
                    request_id=f"{unique}-{len(made)}",
                    prompt_token_ids=prompt.token_ids,
                    sampling=sampling,
                    arrival_time=arrival,
                    priority=request.priority,
                    cache_salt=request.cache_salt,
                )
            )
    return made


def answer(
    http: Request,
    request: GenerationRequest,
    prompts: list[Prompt],
    made: list[AddRequest],
    reply: ReplyFormat,
    serving: Serving,
) -> Answer:
    """The response that runs these sequences."""
    serving.metrics.observe_request(request.n, request.token_limit())
    if serving.log_requests:
        log_request(request_id_of(http.scope), prompts[0].text or prompts[0].token_ids, made)
    choices = [
        Choice(
            serving.tokenizer.detokenizer(sequence.prompt_token_ids, request.skip_special_tokens),
            request.stop,
            min_tokens=request.min_tokens,
            include_stop=request.include_stop_str_in_output,
        )
        for sequence in made
    ]
    options = request.stream_options
    how = StreamChoice(
        stream=request.stream,
        include_usage=bool(options and options.include_usage),
        continuous_usage=bool(options and options.continuous_usage_stats),
    )
    count = TokenCount(sum(len(prompt.token_ids) for prompt in prompts), generates=request.token_limit() != 0)
    return Answer(serving.client, made, choices, reply, count, how, request.n)
