"""The whole engine without its process, batches of 32: the judge is transformers in float32."""

import pytest

from paddock.engine.sampling.params import SamplingParams

GREEDY = SamplingParams(max_tokens=14, temperature=0)


@pytest.fixture
def expected(checkpoint, answers):
    return answers(checkpoint)


@pytest.fixture
def answers(prompts, oracle_cache):
    """What `generate` answers to each prompt alone; kept, because every test of a checkpoint asks for the same."""

    def of(checkpoint):
        if checkpoint.path not in oracle_cache:
            oracle_cache[checkpoint.path] = [checkpoint.continuation(prompt, 14) for prompt in prompts]
        return oracle_cache[checkpoint.path]

    return of


@pytest.fixture(scope="module")
def oracle_cache():
    return {}


@pytest.mark.parametrize("caching", [True, False], ids=["prefix-caching", "no-prefix-caching"])
def test_a_mixed_batch_of_32_gives_the_tokens_of_generate(
    every_checkpoint, engine, prompts, answers, caching
):
    served = engine(every_checkpoint, enable_prefix_caching=caching)

    assert served.generate(prompts, GREEDY) == answers(every_checkpoint)


@pytest.mark.parametrize("caching", [True, False], ids=["prefix-caching", "no-prefix-caching"])
def test_chunked_prompts_mixed_with_decodes_give_the_tokens_of_generate(
    checkpoint, engine, prompts, expected, caching
):
    served = engine(checkpoint, max_num_batched_tokens=43, max_num_seqs=19, enable_prefix_caching=caching)

    assert served.generate(prompts, GREEDY) == expected


@pytest.mark.parametrize("caching", [True, False], ids=["prefix-caching", "no-prefix-caching"])
def test_preempted_requests_give_the_tokens_of_generate(checkpoint, engine, prompts, expected, caching):
    served = engine(checkpoint, num_gpu_blocks_override=40, enable_prefix_caching=caching)

    assert served.generate(prompts, GREEDY) == expected
    assert served.core.counters().num_preemptions > 0


def test_a_warm_prefix_cache_changes_no_token(checkpoint, engine, prompts, expected):
    served = engine(checkpoint)
    served.generate(prompts, GREEDY)
    hits_when_cold = served.core.counters().prefix_cache_hits

    assert served.generate(prompts, GREEDY) == expected
    assert served.core.counters().prefix_cache_hits > hits_when_cold


def test_one_at_a_time_gives_the_tokens_of_generate(checkpoint, engine, prompts, expected):
    served = engine(checkpoint)

    assert [served.generate([prompt], GREEDY)[0] for prompt in prompts[8:20]] == expected[8:20]


def test_blocks_of_one_token_give_the_tokens_of_generate(checkpoint_of, engine, prompts):
    checkpoint = checkpoint_of("qwen3")
    served = engine(checkpoint, block_size=1, num_gpu_blocks_override=4000)

    assert served.generate(prompts[:6], GREEDY) == [checkpoint.continuation(p, 14) for p in prompts[:6]]
