"""Sampling parameters of one request never change another's tokens, and a seed always gives the same ones."""

import pytest

from paddock.engine.sampling.params import SamplingParams

SEEDED = SamplingParams(max_tokens=20, temperature=2.0, seed=1234, top_p=0.95)
NEIGHBOURS = [
    SamplingParams(max_tokens=24, temperature=0),
    SamplingParams(max_tokens=11, temperature=1.0, seed=9, top_k=3, logprobs=2),
    SamplingParams(max_tokens=17, temperature=3.0, seed=8, min_p=0.1, repetition_penalty=1.3),
    SamplingParams(max_tokens=24, temperature=2.0, seed=1234, logit_bias={5: 40.0}, presence_penalty=1.0),
    SamplingParams(max_tokens=9, temperature=0.5, seed=7, prompt_logprobs=1, min_tokens=5),
]


@pytest.fixture
def alone(checkpoint_of, engine, prompts):
    return engine(checkpoint_of("qwen3")).generate([prompts[20]], SEEDED)[0]


@pytest.mark.parametrize(
    "changes",
    [{}, {"max_num_batched_tokens": 41, "max_num_seqs": 17}, {"num_gpu_blocks_override": 44}],
    ids=["roomy", "chunked", "preempted"],
)
def test_a_seeded_request_gives_the_same_tokens_in_any_company(
    checkpoint_of, engine, prompts, alone, changes
):
    served = engine(checkpoint_of("qwen3"), **changes)
    for index, prompt in enumerate(prompts):
        if index != 20:
            served.add(f"n{index}", prompt, NEIGHBOURS[index % len(NEIGHBOURS)])
        else:
            served.add("seeded", prompt, SEEDED)

    served.run()

    assert served.tokens("seeded") == alone
    assert len(set(alone)) > 5


def test_seeds_differ_between_requests_without_their_own(checkpoint_of, engine, prompts):
    served = engine(checkpoint_of("qwen3"))

    answers = served.generate([prompts[20]] * 4, SamplingParams(max_tokens=20, temperature=3.0))

    assert len({tuple(answer) for answer in answers}) == 4


def test_penalties_survive_preemption(checkpoint_of, engine, prompts):
    penalised = SamplingParams(
        max_tokens=24, temperature=0, repetition_penalty=1.4, frequency_penalty=0.8, presence_penalty=0.5
    )
    roomy = engine(checkpoint_of("llama")).generate(prompts, penalised)
    tight = engine(checkpoint_of("llama"), num_gpu_blocks_override=48)

    assert tight.generate(prompts, penalised) == roomy
    assert tight.core.counters().num_preemptions > 0


def test_greedy_penalties_are_those_of_transformers(checkpoint_of, engine, prompts):
    checkpoint = checkpoint_of("qwen2")
    served = engine(checkpoint)
    oracle = checkpoint.oracle
    import torch

    ids = torch.tensor([prompts[20]])
    out = oracle.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=24, do_sample=False, repetition_penalty=1.7
    )

    tokens = served.generate(
        [prompts[20]], SamplingParams(max_tokens=24, temperature=0, repetition_penalty=1.7)
    )

    assert tokens[0] == out[0, ids.shape[1] :].tolist()


def test_tokens_are_ended_only_after_min_tokens(checkpoint_of, engine, prompts):
    checkpoint = checkpoint_of("llama")
    free = checkpoint.continuation(prompts[20], 12)
    served = engine(checkpoint, eos_token_ids=(free[2],))

    early, late = (
        served.generate([prompts[20]], SamplingParams(max_tokens=12, temperature=0, min_tokens=n))[0]
        for n in (0, 7)
    )

    assert early == free[:3]
    assert free[2] not in late[:7]
    assert len(late) >= 7
