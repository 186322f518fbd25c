"""What the sampling parameters promise, against plain arithmetic."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from paddock.engine.sampling.noise import noise_keys
from paddock.engine.sampling.params import SamplingParams
from paddock.engine.sampling.penalties import PenaltyCounts
from paddock.engine.sampling.truncation import Draw, draw_from_nucleus, draw_from_top

VOCAB = 97


def logits_of(count, seed=0, vocab=VOCAB, scale=2.0):
    return torch.randn(count, vocab, generator=torch.Generator().manual_seed(seed)) * scale


def params(**given):
    return SamplingParams(**({"max_tokens": 1, "seed": 1} | given))


def chi_square_passes(tokens, probabilities):
    """Pearson's test over the tokens that are likely enough; 5 deviations of its normal approximation."""
    counts = torch.bincount(torch.as_tensor(tokens), minlength=len(probabilities)).double()
    expected = probabilities.double() * len(tokens)
    common = expected >= 5
    observed = torch.cat([counts[common], counts[~common].sum()[None]])
    wanted = torch.cat([expected[common], expected[~common].sum()[None]])
    kept = wanted > 0
    statistic = ((observed - wanted)[kept] ** 2 / wanted[kept]).sum()
    freedom = int(kept.sum()) - 1
    return statistic < freedom + 5 * math.sqrt(2 * freedom)


@pytest.mark.parametrize(
    "narrow", [{"temperature": 0}, {"top_k": 1}, {"top_p": 1e-9}, {"min_p": 1.0}, {"temperature": 1e-6}]
)
def test_limits_that_leave_one_token_are_greedy(sample, narrow):
    logits = logits_of(16)

    tokens = sample(logits, [params(seed=i, **narrow) for i in range(16)]).token_ids

    assert tokens.tolist() == logits.argmax(-1).tolist()


@pytest.mark.parametrize(
    ("limits", "allowed"),
    [
        ({}, lambda p: torch.ones(12, dtype=torch.bool)),
        ({"temperature": 0.7}, lambda p: torch.ones(12, dtype=torch.bool)),
        ({"top_k": 4}, lambda p: p >= p.topk(4).values[-1]),
        ({"min_p": 0.2}, lambda p: p >= 0.2 * p.max()),
        ({"top_p": 0.8}, lambda p: nucleus(p, 0.8)),
        ({"top_k": 5, "top_p": 0.7}, lambda p: nucleus(limited(p, 5), 0.7)),
        (
            {"top_k": 6, "top_p": 0.9, "min_p": 0.3},
            lambda p: nucleus(limited(p, 6), 0.9) & (p >= 0.3 * p.max()),
        ),
    ],
    ids=["plain", "temperature", "top_k", "min_p", "top_p", "top_k+top_p", "all"],
)
def test_frequencies_are_the_probabilities_that_the_limits_leave(sample, limits, allowed):
    draws = 6000
    row = logits_of(1, seed=4, vocab=12)[0]
    probabilities = (row / limits.get("temperature", 1.0)).softmax(-1)
    probabilities = probabilities * allowed(probabilities)

    tokens = sample(row.expand(draws, 12), [params(seed=i, **limits) for i in range(draws)]).token_ids

    assert chi_square_passes(tokens, probabilities / probabilities.sum())


def limited(probabilities, k):
    kept = probabilities * (probabilities >= probabilities.topk(k).values[-1])
    return kept / kept.sum()


def nucleus(probabilities, mass):
    values, order = probabilities.sort(descending=True)
    kept = torch.zeros(len(probabilities), dtype=torch.bool)
    kept[order[(values.cumsum(0) - values) < mass]] = True
    return kept


def test_positions_of_one_seed_are_as_good_as_seeds(sample):
    draws = 6000
    row = logits_of(1, seed=4, vocab=12)[0]

    tokens = sample(
        row.expand(draws, 12), [params(seed=3)] * draws, prompts=[[0] * (1 + i) for i in range(draws)]
    ).token_ids

    assert chi_square_passes(tokens, row.softmax(-1))


def test_a_nucleus_wider_than_the_first_look_is_drawn_from_in_full(sample):
    # Nearly uniform over 5,000 tokens: 0.9 of the mass is far more than the candidates first looked at.
    row = torch.linspace(0.01, 0, 5000)

    tokens = sample(row.expand(2000, 5000), [params(seed=i, top_p=0.9) for i in range(2000)]).token_ids

    assert tokens.max() < 0.91 * 5000
    assert (tokens > 2000).mean() > 0.4


def test_a_wide_nucleus_is_drawn_with_the_right_frequencies(sample):
    draws, vocab = 6000, 200
    row = torch.linspace(0.5, 0, vocab)
    probabilities = row.softmax(-1)
    probabilities = probabilities * nucleus(probabilities, 0.6)

    tokens = sample(row.expand(draws, vocab), [params(seed=i, top_p=0.6) for i in range(draws)]).token_ids

    assert chi_square_passes(tokens, probabilities / probabilities.sum())


def test_drawing_with_and_without_sorting_gives_the_same_tokens():
    scores = logits_of(40, vocab=500)
    keys = torch.from_numpy(noise_keys(np.arange(40, dtype=np.uint64), np.zeros(40, np.int64)))
    top_p, min_p = torch.linspace(0.05, 0.99, 40), torch.full((40,), 0.001)
    sorting = Draw(torch.full((40,), 500), top_p, min_p, keys, width=500, has_min_p=True)

    tokens = draw_from_nucleus(scores, replace(sorting, top_k=torch.zeros(40, dtype=torch.int64), width=0))

    assert torch.equal(tokens, draw_from_top(scores, sorting))


def test_a_top_k_beyond_the_first_look_is_honoured_beside_a_top_p(sample):
    row = torch.zeros(3000)
    row[:400] = 1.0
    asked = [params(seed=i, top_k=400) for i in range(300)] + [params(top_p=0.1)]

    tokens = sample(row.expand(301, 3000), asked).token_ids[:300]

    assert tokens.max() < 400
    assert tokens.max() > 300


@given(
    prompt=st.lists(st.integers(0, 19), min_size=1, max_size=12),
    output=st.lists(st.integers(0, 19), max_size=12),
    repetition=st.floats(0.5, 2.0),
    frequency=st.floats(-2.0, 2.0),
    presence=st.floats(-2.0, 2.0),
)
@settings(max_examples=60, deadline=None)
def test_penalties_are_those_of_a_naive_reference(prompt, output, repetition, frequency, presence):
    logits = logits_of(1, seed=len(prompt), vocab=20)
    expected = logits[0].tolist()
    for token in range(20):
        if token in prompt or token in output:
            expected[token] = (
                expected[token] / repetition if expected[token] > 0 else expected[token] * repetition
            )
        count = output.count(token)
        expected[token] -= frequency * count + presence * (count > 0)
    counts = PenaltyCounts(4, 20, torch.device("cpu"))
    given_params = params(
        repetition_penalty=repetition, frequency_penalty=frequency, presence_penalty=presence
    )
    counts.enter(2, given_params, np.array(prompt + output[:3], np.int32), len(prompt))
    for token in output[3:]:
        counts.count(np.array([2]), np.array([token]))

    counts.apply(logits, np.array([2]))

    torch.testing.assert_close(logits[0], torch.tensor(expected), atol=1e-4, rtol=1e-4)


def test_a_bias_moves_the_choice_and_a_ban_is_stronger(sample):
    logits = logits_of(3)
    biased = params(temperature=0, logit_bias={11: 100.0})

    tokens = sample(
        logits,
        [biased, params(temperature=0), params(temperature=0, logit_bias={11: 100.0}, min_tokens=1)],
        eos=(11,),
    ).token_ids

    assert tokens[0] == 11
    assert tokens[1] == logits[1].argmax()
    assert tokens[2] != 11


def test_stop_tokens_have_no_probability_until_min_tokens_exist(sample):
    logits = logits_of(2)
    best = logits.argmax(-1).tolist()
    asked = [params(temperature=0, min_tokens=3, stop_token_ids=(best[i],)) for i in range(2)]

    tokens = sample(logits, asked, outputs=[[1, 2], [1, 2, 3]]).token_ids

    assert tokens[0] != best[0]
    assert tokens[1] == best[1]


def test_logprobs_are_of_the_models_own_distribution(sample):
    logits = logits_of(3)
    expected = logits.log_softmax(-1)
    asked = [
        params(temperature=2.5, top_k=2, logprobs=4, logit_bias={5: 50.0}),
        params(),
        params(temperature=0, logprobs=0, presence_penalty=2.0),
    ]

    result = sample(logits, asked)

    own, *top = result.logprobs[0]
    assert own.token_id == result.token_ids[0] == 5
    assert own.logprob == pytest.approx(expected[0, 5].item(), abs=1e-5)
    assert own.rank == int((expected[0] > expected[0, 5]).sum()) + 1
    assert [t.token_id for t in top] == expected[0].topk(4).indices.tolist()
    assert result.logprobs[1] is None
    assert len(result.logprobs[2]) == 1


def test_rows_are_independent_of_their_neighbours(sample):
    logits = logits_of(9)
    asked = [
        params(seed=1),
        params(seed=2, top_k=5),
        params(seed=3, top_p=0.5, logprobs=2),
        params(temperature=0),
        params(seed=4, min_p=0.2, repetition_penalty=1.5),
        params(seed=5, temperature=0.3, frequency_penalty=1.0),
        params(seed=6, logit_bias={3: 9.0}),
        params(seed=7, top_k=50, top_p=0.99, min_p=0.01),
        params(seed=8, min_tokens=2, stop_token_ids=(4,)),
    ]

    together = sample(logits, asked).token_ids.tolist()

    assert together == [sample(logits[i : i + 1], [asked[i]]).token_ids[0] for i in range(9)]


BROKEN = {
    "nan": [float("nan")] * VOCAB,
    "one-nan": [float("nan")] + [1.0] * (VOCAB - 1),
    "minus-infinity": [float("-inf")] * VOCAB,
    "plus-infinity": [float("inf")] + [0.0] * (VOCAB - 1),
    "huge": [3e38, -3e38] + [0.0] * (VOCAB - 2),
}
FATAL = {"nan": "NaN", "one-nan": "NaN", "minus-infinity": "no token of the vocabulary is left"}


@pytest.mark.parametrize(
    "limits", [{"temperature": 0}, {}, {"top_k": 3}, {"top_p": 0.9, "temperature": 0.01}]
)
@pytest.mark.parametrize("broken", list(BROKEN))
def test_a_row_with_broken_logits_is_told_apart_and_hurts_no_other(sample, broken, limits):
    logits = logits_of(3)
    clean = sample(logits, [params(seed=i, logprobs=2, **limits) for i in range(3)])
    logits[1] = torch.tensor(BROKEN[broken])

    result = sample(logits, [params(seed=i, logprobs=2, **limits) for i in range(3)])

    assert 0 <= result.token_ids[1] < VOCAB
    assert result.token_ids[[0, 2]].tolist() == clean.token_ids[[0, 2]].tolist()
    assert all(math.isfinite(entry.logprob) for entry in result.logprobs[1])
    assert result.logprobs[0] == clean.logprobs[0]
    assert result.errors.keys() == ({1} if broken in FATAL else set())
    assert FATAL.get(broken, "") in result.errors.get(1, "")


@pytest.mark.parametrize("seed", [0, -1, 2**63 - 1, 2**64 - 1])
def test_any_whole_number_is_a_seed(sample, seed):
    logits = logits_of(1)

    first, second = (sample(logits, [params(seed=seed, temperature=3.0)]).token_ids[0] for _ in range(2))

    assert first == second
