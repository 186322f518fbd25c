"""A request's options as the engine's sampling parameters, checked against the model that is served."""

from dataclasses import dataclass

from paddock.engine.sampling.params import SamplingParams
from paddock.engine.structured_output.constraint import Constraint
from paddock.server.errors import ContextExceededError, bad_request
from paddock.server.protocol.common import GenerationRequest
from paddock.server.sampling_defaults import SamplingDefaults

BadWords = tuple[tuple[int, ...], ...]
MAX_BIAS = 100.0
SEED_MASK = 2**63 - 1
SEED_STRIDE = 0x1E3779B97F4A7C15
"""Odd, far apart: the seeds of neighbouring choices share no pattern."""


@dataclass(frozen=True, slots=True)
class ModelLimits:
    """What requests are checked against, known once the engine is ready."""

    max_model_len: int
    vocab_size: int
    max_logprobs: int
    """-1 for no limit."""
    priority_scheduling: bool = False
    reports_logits: bool = False
    """--logprobs-mode asks for logits in place of log-probabilities."""


def check_tokens(token_ids: list[int] | tuple[int, ...], limits: ModelLimits, field: str) -> None:
    """Raise ApiError 400 when an id lies outside the vocabulary."""
    if token_ids and max(token_ids) >= limits.vocab_size:
        raise bad_request(
            f"{field}: token id {max(token_ids)} is outside the vocabulary of {limits.vocab_size} tokens.",
            field,
        )


def check_against_model(request: GenerationRequest, limits: ModelLimits) -> None:
    """Raise ApiError 400 for what only the served model can tell: vocabulary, logprobs cap, priority."""
    check_tokens(request.stop_token_ids, limits, "stop_token_ids")
    check_tokens(tuple(request.logit_bias), limits, "logit_bias")
    check_tokens(request.allowed_token_ids or (), limits, "allowed_token_ids")
    for field in ("top_logprobs", "logprobs", "prompt_logprobs"):
        asked = getattr(request, field, None)
        if isinstance(asked, bool) or asked is None or limits.max_logprobs < 0:
            continue
        if asked > limits.max_logprobs:
            raise bad_request(f"{field} is {asked}; this server allows up to {limits.max_logprobs}.", field)
    adding = "use_beam_search" if request.use_beam_search else "best_of" if request.chooses else None
    if adding is not None and limits.reports_logits:
        raise bad_request(
            f"{adding} adds up log-probabilities, and --logprobs-mode of this server reports logits instead.",
            adding,
        )
    if request.priority != 0 and not limits.priority_scheduling:
        raise bad_request("priority needs a server started with --scheduling-policy priority.", "priority")


def token_budget(request: GenerationRequest, prompt_tokens: int, limits: ModelLimits, cap: int | None) -> int:
    """Tokens this request may generate. Raises ApiError 400 when prompt and answer exceed the context."""
    room = limits.max_model_len - prompt_tokens
    asked = request.token_limit()
    if room < 1 or (asked or 0) > room:
        answer = "" if asked is None else f" and up to {asked} tokens were requested for the answer"
        raise ContextExceededError(
            f"This model's maximum context length is {limits.max_model_len} tokens. However, the prompt has "
            f"{prompt_tokens} tokens{answer}. Shorten the prompt or lower max_tokens.",
            "max_tokens" if room > 0 else "messages" if hasattr(request, "messages") else "prompt",
        )
    budget = room if asked is None else asked
    return budget if cap is None else min(budget, cap)


def sampling_for_choice(
    request: GenerationRequest,
    choice: int,
    max_tokens: int,
    prompt_logprobs: int | None,
    bad_words: BadWords,
    defaults: SamplingDefaults,
    constraint: Constraint | None = None,
) -> SamplingParams:
    """Parameters of one of the n choices: all alike but for the seed. `bad_words` are the request's as tokens."""
    top_k = defaults.top_k if request.top_k is None else max(request.top_k, 0)
    return SamplingParams(
        max_tokens=max(max_tokens, 1),
        min_tokens=min(request.min_tokens, max_tokens),
        temperature=_or(request.temperature, defaults.temperature),
        top_p=_or(request.top_p, defaults.top_p),
        top_k=top_k,
        min_p=_or(request.min_p, defaults.min_p),
        presence_penalty=_or(request.presence_penalty, defaults.presence_penalty),
        frequency_penalty=_or(request.frequency_penalty, defaults.frequency_penalty),
        repetition_penalty=_or(request.repetition_penalty, defaults.repetition_penalty),
        seed=_choice_seed(request.seed, choice),
        stop_token_ids=tuple(request.stop_token_ids),
        ignore_eos=request.ignore_eos,
        logit_bias={token: max(-MAX_BIAS, min(MAX_BIAS, bias)) for token, bias in request.logit_bias.items()},
        allowed_token_ids=tuple(request.allowed_token_ids or ()),
        bad_words=bad_words,
        logits_processors={named.qualname: named.kwargs for named in request.logits_processors},
        extra_args=request.vllm_xargs,
        constraint=constraint,
        logprobs=request.top_logprobs_wanted(),
        prompt_logprobs=prompt_logprobs,
    )


def _or(value: float | None, default: float) -> float:
    return default if value is None else value


def _choice_seed(seed: int | None, choice: int) -> int | None:
    """Choice 0 keeps the caller's seed, so n = 1 and n > 1 agree on it; -1 asks for none."""
    if seed is None or seed == -1:
        return None
    return (seed + choice * SEED_STRIDE) & SEED_MASK
