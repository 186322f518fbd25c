"""Whatever comes beside a request and however it is scheduled, its log-probabilities stay, on a CPU to the bit.

docs/exactness.md states it; tests/bench/batch_invariance.py measures the same on whole models.
"""

import pytest

from paddock.engine.sampling.params import SamplingParams

NUMBER = 30
"""Of the request that is looked at: young enough to be preempted."""

ASKED = SamplingParams(max_tokens=10, temperature=0, logprobs=3, prompt_logprobs=1)
WAYS = {
    "batch": {},
    "chunks": {"max_num_batched_tokens": 43, "max_num_seqs": 19},
    "preempted": {"num_gpu_blocks_override": 44},
    "swapped": {"num_gpu_blocks_override": 44, "swap_space_bytes": 8 << 20},
}
EXACT = [
    "llama",
    pytest.param("qwen3", marks=pytest.mark.long),
    pytest.param("gemma2", marks=pytest.mark.long),
]
NEAR = [
    "mixtral",
    *(pytest.param(name, marks=pytest.mark.long) for name in ("gpt2", "gpt-oss-mxfp4", "deepseek-v3")),
]
"""Torch's own products and norms are part of these, whose sums go by the number of rows."""


def told(served, prompts, number):
    """Every log-probability of one request, prompt first."""
    for index, prompt in enumerate(prompts):
        served.add(str(index), prompt, ASKED)
    served.run()
    outputs = served.outputs[str(number)]
    return [
        [(entry.token_id, entry.logprob) for entry in position]
        for output in outputs
        for position in [*(output.prompt_logprobs or []), *(output.logprobs or [])]
    ]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", EXACT)
def test_no_bit_of_a_log_probability_depends_on_company_or_schedule(
    checkpoint_of, engine, prompts, name, dtype
) -> None:
    checkpoint = checkpoint_of(name)
    alone = told(engine(checkpoint, dtype=dtype), [prompts[NUMBER]], 0)

    for changes in WAYS.values():
        assert told(engine(checkpoint, dtype=dtype, **changes), prompts, NUMBER) == alone


@pytest.mark.parametrize("name", NEAR)
def test_with_other_layers_a_log_probability_moves_by_rounding_alone(
    checkpoint_of, engine, prompts, name
) -> None:
    checkpoint = checkpoint_of(name)
    alone = told(engine(checkpoint), [prompts[NUMBER]], 0)

    for changes in WAYS.values():
        company = told(engine(checkpoint, **changes), prompts, NUMBER)
        assert [ids(position) for position in company] == [ids(position) for position in alone]
        assert values(company) == pytest.approx(values(alone), abs=1e-5)


def ids(position):
    return [token_id for token_id, _ in position]


def values(positions):
    return [value for position in positions for _, value in position]
