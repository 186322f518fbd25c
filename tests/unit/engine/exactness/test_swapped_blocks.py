"""Preempted requests whose blocks wait in host memory give the tokens of a roomy engine, and compute nothing twice.

That those are the tokens of `generate` is told by test_engine_equals_generate.py.
"""

import msgspec
import pytest
import torch

from paddock.engine.sampling.params import SamplingParams
from paddock.engine.worker import swapped_blocks
from paddock.engine.worker.swapped_blocks import SwappedBlocks

GREEDY = SamplingParams(max_tokens=14, temperature=0)
TIGHT = {"num_gpu_blocks_override": 40, "swap_space_bytes": 8 << 20}
WAYS = {
    "prefix-caching": ("qwen3", {}),
    "no-prefix-caching": ("llama", {"enable_prefix_caching": False}),
    "chunked": ("qwen3", {"enable_prefix_caching": False, "max_num_batched_tokens": 43, "max_num_seqs": 19}),
    "async": ("llama", {"enable_prefix_caching": False, "async_scheduling": True}),
    "windows": ("gemma2", {"enable_prefix_caching": False}),
    "latent": ("deepseek-v3", {"enable_prefix_caching": False}),
}
RARER = ("chunked", "windows")


def run(served, prompts, sampling=GREEDY):
    """The tokens of each prompt, and how many requests were swapped out at most."""
    most = 0
    for index, prompt in enumerate(prompts):
        served.add(str(index), prompt, sampling)
    while served.core.has_work:
        served.step()
        served.core.check_integrity()
        most = max(most, served.core.stats(served.core.counters()).num_swapped)
    return [served.tokens(str(index)) for index in range(len(prompts))], most


@pytest.mark.parametrize(
    "way", [pytest.param(way, marks=pytest.mark.long) if way in RARER else way for way in WAYS]
)
def test_swapped_requests_give_the_tokens_of_a_roomy_engine(checkpoint_of, engine, prompts, way) -> None:
    name, changes = WAYS[way]
    checkpoint = checkpoint_of(name)
    served = engine(checkpoint, **(TIGHT | changes))

    answers, most = run(served, prompts)

    assert answers == engine(checkpoint).generate(prompts, GREEDY)
    assert most > 0
    assert served.core.stats(served.core.counters()).swap_space_usage == 0
    served.core.shutdown()


def test_what_was_swapped_out_is_not_computed_again(checkpoint_of, engine, prompts) -> None:
    computed = {}
    for swap in (0, 8 << 20):
        changes = {"num_gpu_blocks_override": 40, "enable_prefix_caching": False, "swap_space_bytes": swap}
        served = engine(checkpoint_of("qwen3"), **changes)
        schedule = served.core._scheduler.schedule
        tokens = computed[swap] = []

        def counted(schedule=schedule, tokens=tokens):
            plan = schedule()
            tokens += [row.num_scheduled_tokens for row in plan.scheduled]
            return plan

        served.core._scheduler.schedule = counted
        run(served, prompts)
    needed = sum(len(prompt) + GREEDY.max_tokens - 1 for prompt in prompts)

    assert sum(computed[0]) > 1.05 * needed
    # The last token is computed again by each that comes back.
    assert needed <= sum(computed[8 << 20]) < 1.02 * needed


def test_a_swap_space_too_small_for_all_takes_some(checkpoint_of, engine, prompts) -> None:
    checkpoint = checkpoint_of("qwen3")
    block = checkpoint.executor(checkpoint.settings()).bytes_per_block()
    served = engine(checkpoint, **(TIGHT | {"swap_space_bytes": 9 * block}))

    answers, most = run(served, prompts)

    assert served.core._scheduler.cache.swap_space.num_blocks == 9
    assert answers == engine(checkpoint).generate(prompts, GREEDY)
    assert most > 0


def test_penalties_seeds_and_logprobs_survive_swapping(checkpoint_of, engine, prompts) -> None:
    sampling = SamplingParams(
        max_tokens=16, temperature=1.2, seed=3, repetition_penalty=1.3, presence_penalty=0.4, logprobs=1
    )
    roomy, _ = run(engine(checkpoint_of("llama")), prompts, sampling)
    asks_for_prompts = msgspec.structs.replace(sampling, prompt_logprobs=1)

    for wanted in (sampling, asks_for_prompts):
        swapped, most = run(engine(checkpoint_of("llama"), **TIGHT), prompts, wanted)
        assert swapped == roomy
        assert most > 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float8_e4m3fn], ids=str)
def test_copies_are_bit_exact_whatever_the_type_and_their_number(dtype, monkeypatch) -> None:
    caches = [torch.randn(30, 2, 8, 16).to(dtype) for _ in range(4)]
    block_bytes = sum(cache[0].nbytes for cache in caches)
    monkeypatch.setattr(swapped_blocks, "STAGED_BYTES", 4 * block_bytes)
    monkeypatch.setattr(swapped_blocks, "SEGMENT_BYTES", 7 * block_bytes)
    before = [cache.view(torch.uint8).clone() for cache in caches]
    swapped = SwappedBlocks(caches)
    blocks = torch.randperm(30)[:18].tolist()

    swapped.copy_out([(block, place) for place, block in enumerate(blocks)])
    for cache in caches:
        cache.zero_()
    swapped.copy_in([(place, block) for place, block in enumerate(blocks)])

    for cache, content in zip(caches, before, strict=True):
        assert torch.equal(cache.view(torch.uint8)[blocks], content[blocks])
        assert not cache.view(torch.uint8)[[block for block in range(30) if block not in blocks]].any()


def test_host_memory_is_taken_as_it_is_used() -> None:
    swapped = SwappedBlocks([torch.zeros(12, 8, 16, 128) for _ in range(4)])
    assert swapped.allocated_bytes == 0

    swapped.copy_out([(5, 0), (9, 1)])

    assert 0 < swapped.allocated_bytes <= swapped_blocks.SEGMENT_BYTES
