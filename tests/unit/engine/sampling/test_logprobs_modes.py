"""What is reported of a token: its logit or the logarithm of its probability, before or after processing."""

import pytest
import torch

from paddock.engine.messages import PositionLogprobs
from paddock.engine.sampling.logprobs import LOWEST
from paddock.engine.sampling.params import SamplingParams

LOGITS = torch.tensor([[3.0, 2.0, 1.0, 0.0, -1.0, -2.0]])


def params(**fields: object) -> SamplingParams:
    return SamplingParams(**{"max_tokens": 4, "logprobs": -1, "seed": 1, **fields})


def values(entry: PositionLogprobs) -> torch.Tensor:
    """By token id."""
    by_id = {item.token_id: item.logprob for item in entry[1:]}
    return torch.tensor([by_id[token_id] for token_id in range(6)])


def reported(sample, mode: str, **fields: object) -> torch.Tensor:
    [entry] = sample(LOGITS, [params(**fields)], logprobs_mode=mode).logprobs
    return values(entry)


def test_raw_numbers_are_the_model_s_whatever_the_request_does_to_them(sample) -> None:
    changes = {"temperature": 0.5, "top_k": 2, "logit_bias": {0: -50.0}}

    assert torch.equal(reported(sample, "raw_logits", **changes), LOGITS[0])
    assert torch.allclose(reported(sample, "raw_logprobs", **changes), LOGITS[0].log_softmax(-1))


def test_processed_logits_have_penalties_bias_and_temperature_in_them(sample) -> None:
    found = reported(sample, "processed_logits", temperature=0.5, logit_bias={5: 10.0})

    assert torch.allclose(found, torch.tensor([6.0, 4.0, 2.0, 0.0, -2.0, 16.0]))


@pytest.mark.parametrize(
    ("limits", "kept"), [({"top_k": 2}, 2), ({"top_p": 0.7}, 2), ({"min_p": 0.3}, 2), ({"top_k": 3, "top_p": 0.99}, 3)]
)  # fmt: skip
def test_processed_numbers_show_what_truncation_left_out(sample, limits, kept) -> None:
    logits = reported(sample, "processed_logits", **limits)
    logprobs = reported(sample, "processed_logprobs", **limits)

    assert (logits[kept:] == LOWEST).all()
    assert torch.equal(logits[:kept], LOGITS[0, :kept])
    assert torch.allclose(logprobs[:kept], LOGITS[0, :kept].log_softmax(-1))
    assert (logprobs[kept:] == LOWEST).all()


def test_a_greedy_request_has_neither_temperature_nor_truncation(sample) -> None:
    found = reported(sample, "processed_logits", temperature=0, top_k=1, logit_bias={1: 5.0})

    assert torch.equal(found, torch.tensor([3.0, 7.0, 1.0, 0.0, -1.0, -2.0]))


def test_the_token_drawn_is_always_one_of_those_left(sample) -> None:
    logits = torch.randn(200, 40, generator=torch.Generator().manual_seed(3)) * 3
    asked = [params(seed=i, top_p=0.6, top_k=0 if i % 2 else 7, min_p=0.02) for i in range(200)]

    result = sample(logits, asked, logprobs_mode="processed_logprobs")

    assert all(entry[0].logprob > LOWEST for entry in result.logprobs)
