"""Requests the engine does not take: each is told which field, which value and what is allowed."""

import msgspec
import pytest

from paddock.engine.messages import AddRequest
from paddock.engine.sampling.params import SamplingParams
from paddock.engine.sampling.processor_choice import ProcessorChoice
from paddock.engine.scheduler.refusal import refusal_of
from paddock.engine.settings import EngineSettings

SETTINGS = EngineSettings(
    max_model_len=16,
    dtype="float32",
    vocab_size=100,
    eos_token_ids=(),
    block_size=4,
    max_num_seqs=2,
    max_num_batched_tokens=16,
    max_waiting=3,
)
PROCESSORS = ProcessorChoice(SETTINGS)
GOOD = AddRequest("a", [1, 2, 99], SamplingParams(max_tokens=4), 0.0)


def deviating(**fields: object) -> AddRequest:
    return msgspec.structs.replace(GOOD, **fields)


def sampling(**fields: object) -> AddRequest:
    return deviating(sampling=SamplingParams(**{"max_tokens": 4, **fields}))


def test_a_good_request_is_taken_until_rows_and_queue_are_full() -> None:
    assert refusal_of(GOOD, SETTINGS, PROCESSORS, num_held=4) is None

    refusal = refusal_of(GOOD, SETTINGS, PROCESSORS, num_held=5)

    assert (refusal.request_id, refusal.status) == ("a", 503)
    assert "the most it takes (5)" in refusal.message


@pytest.mark.parametrize(
    ("request_", "param", "words"),
    [
        (deviating(prompt_token_ids=[]), "prompt", "empty"),
        (
            deviating(prompt_token_ids=[1] * 16),
            "prompt",
            "maximum context length is 16 tokens and the prompt has 16",
        ),
        (deviating(prompt_token_ids=[1, 100]), "prompt", "token id 100; the vocabulary has ids 0 to 99"),
        (deviating(prompt_token_ids=[-1]), "prompt", "token id -1"),
        (deviating(arrival_time=float("nan")), "arrival_time", "arrival_time is nan"),
        (deviating(priority=1), "priority", "--scheduling-policy priority"),
        (sampling(max_tokens=0), "max_tokens", "max_tokens is 0; at least 1"),
        (sampling(stop_token_ids=(5, 200)), "stop_token_ids", "token id 200"),
        (sampling(logit_bias={-3: 1.0}), "logit_bias", "token id -3"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_request_that_would_break_a_step_is_refused_with_the_field_named(request_, param, words) -> None:
    refusal = refusal_of(request_, SETTINGS, PROCESSORS, num_held=0)

    assert (refusal.status, refusal.param) == (400, param)
    assert words in refusal.message


def test_a_bad_request_is_told_so_even_when_the_queue_is_full() -> None:
    assert refusal_of(deviating(prompt_token_ids=[]), SETTINGS, PROCESSORS, num_held=5).status == 400
