"""From a request that asks for beam search to its answer."""

from paddock.engine.messages import AddRequest
from paddock.server.errors import bad_request
from paddock.server.generation.beam_answer import BeamAnswer, BeamPrompt, BeamRequest
from paddock.server.generation.beam_search import BeamRules
from paddock.server.generation.choice import Choice
from paddock.server.generation.format import ReplyFormat, TokenCount
from paddock.server.protocol.common import GenerationRequest
from paddock.server.request_log import OutputLog
from paddock.server.serving import Serving


def beam_answer(
    request: GenerationRequest,
    made: list[AddRequest],
    choices: list[Choice],
    reply: ReplyFormat,
    tokens: TokenCount,
    output_log: OutputLog | None,
    serving: Serving,
) -> BeamAnswer:
    """`made` and `choices` are those of a sampled answer: n for each prompt. Raises ApiError 400."""
    if made[0].sampling.prompt_logprobs is not None:
        raise bad_request("echo with logprobs cannot be combined with use_beam_search.", "echo")
    n = request.n
    prompts = [
        BeamPrompt(made[at].prompt_token_ids, _rules(request, made[at], serving), choices[at : at + n])
        for at in range(0, len(made), n)
    ]
    first = made[0]
    beams = BeamRequest(
        first.request_id,
        prompts,
        first.sampling.logprobs,
        request.priority,
        request.cache_salt,
        first.adapter,
    )
    return BeamAnswer(serving.client, beams, reply, tokens, output_log)


def _rules(request: GenerationRequest, one: AddRequest, serving: Serving) -> BeamRules:
    ready = serving.client.ready
    assert ready is not None  # the server answers nothing before
    end_ids = frozenset(request.stop_token_ids) | (
        frozenset() if request.ignore_eos else frozenset(ready.eos_token_ids)
    )
    if request.n + len(end_ids) > serving.limits.vocab_size:
        raise bad_request(
            f"n is {request.n}; a vocabulary of {serving.limits.vocab_size} tokens has fewer beams.", "n"
        )
    return BeamRules(
        request.n, one.sampling.max_tokens, request.length_penalty, request.early_stopping, end_ids
    )
