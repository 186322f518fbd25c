"""Scheduling while a step runs gives the tokens of `generate`, as does every other way to schedule."""

import pytest

from paddock.engine.sampling.params import SamplingParams

GREEDY = SamplingParams(max_tokens=14, temperature=0)
WAYS = {
    "async": {},
    "async-preempted": {"num_gpu_blocks_override": 40},
    "async-chunked": {"max_num_batched_tokens": 43, "max_num_seqs": 19},
    "async-part-way": {
        "max_num_batched_tokens": 43,
        "max_num_seqs": 19,
        "max_num_partial_prefills": 3,
        "max_long_partial_prefills": 2,
        "long_prefill_token_threshold": 11,
    },
}


@pytest.mark.parametrize("way", list(WAYS))
def test_async_scheduling_gives_the_tokens_of_generate(checkpoint_of, engine, prompts, way) -> None:
    checkpoint = checkpoint_of("qwen3")
    served = engine(checkpoint, async_scheduling=True, **WAYS[way])
    try:
        assert served.generate(prompts, GREEDY) == [checkpoint.continuation(p, 14) for p in prompts]
    finally:
        served.core.shutdown()
    assert (served.core.counters().num_preemptions > 0) == (way == "async-preempted")


def test_async_scheduling_changes_no_sampled_token_penalty_or_logprob(checkpoint_of, engine, prompts) -> None:
    sampling = SamplingParams(
        max_tokens=12, temperature=1.3, top_p=0.95, seed=5, repetition_penalty=1.2, frequency_penalty=0.4,
        logprobs=2, prompt_logprobs=1,
    )  # fmt: skip
    told = []
    for ahead in (False, True):
        served = engine(checkpoint_of("llama"), async_scheduling=ahead, max_num_batched_tokens=60)
        served.generate(prompts[:12], sampling)
        served.core.shutdown()
        told.append(
            {
                name: [
                    (out.new_token_ids, ids_of(out.logprobs), ids_of(out.prompt_logprobs)) for out in outputs
                ]
                for name, outputs in served.outputs.items()
            }
        )

    assert told[0] == told[1]


def ids_of(positions) -> list[list[int]] | None:
    """The tokens that were reported; their values differ by rounding from batch to batch."""
    return None if positions is None else [[item.token_id for item in entry] for entry in positions]
