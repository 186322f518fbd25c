"""allowed_token_ids and bad_words, on a whole batch."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from paddock.engine.sampling.field_processors import processors_for
from paddock.engine.sampling.params import SamplingParams

VOCAB = 23


def logits_of(count):
    return torch.randn(count, VOCAB, generator=torch.Generator().manual_seed(7))


def params(**given):
    return SamplingParams(**({"max_tokens": 1, "temperature": 0.0} | given))


def test_only_allowed_tokens_are_chosen_and_neighbours_are_left_alone(sample):
    logits = logits_of(3)
    worst = logits.argsort(dim=-1)[:, :2]

    sampled = sample(
        logits,
        [params(), params(allowed_token_ids=tuple(worst[1].tolist())), params(temperature=1.0, seed=3)],
    )
    alone = sample(logits, [params(), params(), params(temperature=1.0, seed=3)])

    assert sampled.token_ids[1] == worst[1, 1]
    assert sampled.token_ids[[0, 2]].tolist() == alone.token_ids[[0, 2]].tolist()


def test_allowed_tokens_that_are_all_forbidden_end_their_request_alone(sample):
    sampled = sample(
        logits_of(2), [params(allowed_token_ids=(5,), min_tokens=1, stop_token_ids=(5,)), params()]
    )

    assert list(sampled.errors) == [0]
    assert "no token" in sampled.errors[0]


@pytest.mark.parametrize(
    ("output", "banned"),
    [([], False), ([9], False), ([4, 5], True), ([1, 4, 5], True), ([4, 5, 1], False), ([5], False)],
)
def test_a_word_of_several_tokens_loses_its_last_one_only_where_it_has_begun(sample, output, banned):
    logits = logits_of(1)
    best = int(logits.argmax())

    sampled = sample(logits, [params(bad_words=((4, 5, best),))], prompts=[[4, 5]], outputs=[output])

    assert (int(sampled.token_ids[0]) != best) is banned


@given(st.lists(st.integers(0, VOCAB - 1), min_size=1, max_size=VOCAB - 1, unique=True))
def test_the_best_token_that_is_left_is_chosen(banned):
    from paddock.engine.sampling.bad_words import BadWords
    from paddock.engine.sampling.logits_processor import AddedRow, BatchUpdate

    logits = logits_of(1)
    processor = BadWords(None, torch.device("cpu"))
    memory = np.zeros(4, np.int32)
    asked = params(bad_words=tuple((token_id,) for token_id in banned))
    processor.update(BatchUpdate([], [AddedRow(2, asked, {}, 1, memory)]))

    changed = processor.apply(logits.clone(), np.array([2]), np.array([1]))

    expected = logits.clone()
    expected[0, banned] = float("-inf")
    assert torch.equal(changed, expected)


def test_a_request_without_these_fields_gets_no_processor():
    assert list(processors_for(params())) == []
    assert len(list(processors_for(params(bad_words=((1,),), allowed_token_ids=(1,))))) == 2
