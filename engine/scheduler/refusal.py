"""Requests the engine does not take, and why.

The API server checks requests with more knowledge of what the user wrote. These checks keep a request that should
not have passed from reaching a tensor, where it would end the process for everybody.
"""

import math

from paddock.engine.messages import AddRequest, RequestRefused
from paddock.engine.pooling.refusal import fault_in_pooling
from paddock.engine.sampling.processor_choice import ProcessorChoice
from paddock.engine.settings import EngineSettings


def refusal_of(
    request: AddRequest,
    settings: EngineSettings,
    processors: ProcessorChoice,
    num_held: int,
    constrains: bool = False,
) -> RequestRefused | None:
    """The answer to a request that cannot be taken, with `num_held` requests waiting or running; None when it can.

    `constrains` says whether the engine can constrain outputs.
    """
    fault = (
        fault_in_pooling(request, settings)
        or _fault_in_prompt(request.prompt_token_ids, settings)
        or _fault_in_fields(request, settings)
        or _fault_in_constraint(request, settings, constrains)
        or processors.fault_in(request.sampling)
    )
    if fault is not None:
        param, message = fault
        return RequestRefused(request.request_id, 400, message, param)
    limit = settings.max_num_seqs + settings.max_waiting
    if num_held >= limit:
        message = f"The engine holds {num_held} requests, the most it takes ({limit}). Try again later."
        return RequestRefused(request.request_id, 503, message)
    return None


def _fault_in_prompt(token_ids: list[int], settings: EngineSettings) -> tuple[str, str] | None:
    if not token_ids:
        return "prompt", "The prompt is empty: at least one token is needed."
    if len(token_ids) >= settings.max_model_len and settings.pooling is None:
        return "prompt", (
            f"This model's maximum context length is {settings.max_model_len} tokens and the prompt has "
            f"{len(token_ids)}: at most {settings.max_model_len - 1} leave room for an answer."
        )
    return _fault_in_ids("prompt", token_ids, settings)


def _fault_in_fields(request: AddRequest, settings: EngineSettings) -> tuple[str, str] | None:
    sampling = request.sampling
    if not math.isfinite(request.arrival_time):
        return "arrival_time", f"arrival_time is {request.arrival_time}; a finite time orders the queue."
    if sampling.max_tokens < 1:
        return "max_tokens", f"max_tokens is {sampling.max_tokens}; at least 1 is needed."
    if request.priority and settings.scheduling_policy != "priority":
        return "priority", (
            f"priority is {request.priority}, but this server serves in order of arrival: leave it out, or start "
            "the server with --scheduling-policy priority."
        )
    ids: dict[str, list[int]] = {
        "stop_token_ids": list(sampling.stop_token_ids),
        "logit_bias": list(sampling.logit_bias),
        "allowed_token_ids": list(sampling.allowed_token_ids),
        "bad_words": [token_id for word in sampling.bad_words for token_id in word],
    }
    faults = (_fault_in_ids(field, token_ids, settings) for field, token_ids in ids.items())
    return next((fault for fault in faults if fault is not None), None)


def _fault_in_constraint(
    request: AddRequest, settings: EngineSettings, constrains: bool
) -> tuple[str, str] | None:
    if request.sampling.constraint is None:
        return None
    if not constrains:
        return (
            "structured_outputs",
            "structured_outputs: this server has no tokenizer to constrain texts with.",
        )
    if not settings.eos_token_ids:
        return "structured_outputs", (
            "structured_outputs: the model's config.json names no EOS token, so a constrained text could not end."
        )
    if request.sampling.ignore_eos:
        return "ignore_eos", (
            "ignore_eos cannot be combined with structured output, which ends where its form ends; leave one out."
        )
    return None


def _fault_in_ids(param: str, token_ids: list[int], settings: EngineSettings) -> tuple[str, str] | None:
    if not token_ids or (min(token_ids) >= 0 and max(token_ids) < settings.vocab_size):
        return None
    stray = next(token_id for token_id in token_ids if not 0 <= token_id < settings.vocab_size)
    return param, f"{param} holds token id {stray}; the vocabulary has ids 0 to {settings.vocab_size - 1}."
