"""The core with the real executor and the tiny model: how work is cut into steps does not change an answer."""

from dataclasses import replace
from pathlib import Path

import pytest

from paddock.engine.config import parse_serve
from paddock.engine.core import EngineCore
from paddock.engine.messages import AddRequest
from paddock.engine.models.shape import ModelShape
from paddock.engine.sampling.params import SamplingParams
from paddock.engine.settings import EngineSettings

TINY_MODEL = Path(__file__).parents[3] / "models" / "tiny" / "model"
PROMPTS = [[(7 * n + 3 * i) % 900 + 20 for i in range(5 + 13 * n)] for n in range(5)]
PROMPTS += [[*PROMPTS[4][:40], 33, 44], PROMPTS[4]]
LENGTH = 20


def make_core(num_blocks: int, **deviations: object) -> EngineCore:
    from paddock.engine.executor.uni import UniExecutor

    config = parse_serve([str(TINY_MODEL), "--max-model-len", "256", "--dtype", "float32"], {})
    shape = ModelShape.read(TINY_MODEL, config.model)
    settings = EngineSettings.resolve(config, shape)
    settings = replace(settings, num_gpu_blocks_override=num_blocks, **deviations)
    return EngineCore(UniExecutor(settings, config, shape, TINY_MODEL), settings)


def answers(core: EngineCore) -> list[list[int]]:
    """The tokens of each prompt, all asked at once; every other one is sampled, with a seed of its own."""
    token_ids: list[list[int]] = [[] for _ in PROMPTS]
    for number, prompt in enumerate(PROMPTS):
        temperature = 0.8 * (number % 2)
        sampling = SamplingParams(max_tokens=LENGTH, temperature=temperature, seed=number, ignore_eos=True)
        core.add(AddRequest(str(number), prompt, sampling, float(number)))
    while core.has_work:
        for output in core.step().get(b"", []):
            token_ids[int(output.request_id)] += output.new_token_ids
    core.check_integrity()
    return token_ids


@pytest.fixture(scope="module")
def expected() -> list[list[int]]:
    """One request at a time, one chunk per prompt, nothing cached."""
    return answers(make_core(256, max_num_seqs=1, enable_prefix_caching=False))


@pytest.mark.parametrize("chunk", [3, 16, 17])
def test_answers_do_not_depend_on_chunks_and_company(expected, chunk) -> None:
    core = make_core(256, max_num_seqs=min(chunk, 8), max_num_batched_tokens=chunk)

    assert answers(core) == expected


def test_answers_survive_preemption(expected) -> None:
    core = make_core(16, max_num_seqs=8)

    assert answers(core) == expected
    assert core.counters().num_preemptions > 1


def test_answers_from_a_warm_cache_are_the_same(expected) -> None:
    core = make_core(256, max_num_seqs=4)
    answers(core)

    before = core.counters()
    assert answers(core) == expected
    assert core.counters().since(before).prefix_cache_hits > 100
