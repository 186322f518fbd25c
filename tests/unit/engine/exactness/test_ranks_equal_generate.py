"""Several ranks in processes of their own: the judge is transformers in float32, as for one rank."""

from pathlib import Path

import pytest

from paddock.engine.config.serve import ServeConfig
from paddock.engine.core import EngineCore
from paddock.engine.executor.mp import MpExecutor
from paddock.engine.messages import AddRequest
from paddock.engine.sampling.params import SamplingParams

GREEDY = SamplingParams(max_tokens=14, temperature=0)
GROUPS = {
    "tensor": ("qwen3-tied-bias", 2, 1),
    "pipeline": ("qwen2-window-tied", 1, 2),
    "pipeline-of-three": ("llama", 1, 3),
    "tensor-and-pipeline": ("llama-tied-llama3-rope", 2, 2),
}


class Ranks:
    """One group of processes, and an engine over it for each scenario."""

    def __init__(self, checkpoint, tensor, pipeline, **parallel):
        self.checkpoint = checkpoint
        sizes = {"tensor_parallel_size": tensor, "pipeline_parallel_size": pipeline}
        config = ServeConfig.model_validate({"parallel": sizes | parallel})
        settings = checkpoint.settings(swap_space_bytes=8 << 20)
        self.executor = MpExecutor(settings, config, checkpoint.shape(), checkpoint.path)

    def mapped(self, memory):
        """By rank, how many mappings it has of the shared memory of that name."""
        processes = self.executor._children._processes.values()
        maps = [Path(f"/proc/{each.pid}/maps").read_text() for each in processes]
        return [each.count(f"/memfd:{memory}") for each in maps]

    def core(self, **changes):
        return EngineCore(self.executor, self.checkpoint.settings(**changes))


def answers(core, prompts, sampling=GREEDY):
    outputs = {str(number): [] for number in range(len(prompts))}
    for number, prompt in enumerate(prompts):
        assert core.add(AddRequest(str(number), list(prompt), sampling, 0.0)) is None
    while core.has_work:
        for output in core.step().get(b"", []):
            outputs[output.request_id].append(output)
    core.check_integrity()
    return [outputs[str(number)] for number in range(len(prompts))]


def tokens(outputs):
    return [[token for output in each for token in output.new_token_ids] for each in outputs]


@pytest.fixture(scope="module", params=list(GROUPS), ids=list(GROUPS))
def ranks(request, checkpoint_of):
    name, tensor, pipeline = GROUPS[request.param]
    made = Ranks(checkpoint_of(name), tensor, pipeline)
    yield made
    made.executor.shutdown()


@pytest.fixture(scope="module")
def expected(ranks, prompts):
    return [ranks.checkpoint.continuation(prompt, 14) for prompt in prompts]


def test_a_mixed_batch_gives_the_tokens_of_generate_and_again_from_a_warm_cache(ranks, prompts, expected):
    core = ranks.core()

    assert tokens(answers(core, prompts)) == expected
    assert tokens(answers(core, prompts)) == expected
    assert core.counters().prefix_cache_hits > 0


def test_chunked_prompts_beside_decodes_give_the_tokens_of_generate(ranks, prompts, expected):
    core = ranks.core(max_num_batched_tokens=43, max_num_seqs=19, enable_prefix_caching=False)

    assert tokens(answers(core, prompts)) == expected


def test_every_stage_has_a_step_to_work_on_while_one_prompt_or_several_requests_last(ranks):
    core = ranks.core(max_num_batched_tokens=20, max_num_seqs=12)
    others_under_way = []
    for prompts in ([[7] * 100], [[number] * 9 for number in range(12)]):
        for number, prompt in enumerate(prompts):
            core.add(AddRequest(str(number), prompt, GREEDY, 0.0))
        core.step()
        core.step()
        others_under_way.append(len(core._submitted))
        while core.has_work:
            core.step()

    assert others_under_way == [ranks.executor.num_stages - 1] * 2


@pytest.mark.parametrize("swapping", [False, True], ids=["recomputed", "swapped"])
def test_preempted_requests_give_the_tokens_of_generate(ranks, prompts, expected, swapping, monkeypatch):
    if not swapping:
        monkeypatch.setattr(ranks.executor, "swap_blocks", lambda: 0)
    core = ranks.core(num_gpu_blocks_override=40, enable_prefix_caching=not swapping)
    swap_space = core._scheduler.cache.swap_space
    monkeypatch.setattr(swap_space, "bring_back", counting(swap_space.bring_back, brought_back := []))

    assert tokens(answers(core, prompts)) == expected
    assert core.counters().num_preemptions > 0
    assert bool(brought_back) == swapping


def counting(call, calls):
    """`call`, which notes its arguments."""
    return lambda *arguments: (calls.append(arguments), call(*arguments))


def test_planning_ahead_gives_the_tokens_of_generate(ranks, prompts, expected):
    if ranks.executor.num_stages > 1:
        pytest.skip("async scheduling does not go with pipeline stages, which plan ahead anyway")
    core = ranks.core(async_scheduling=True)

    assert tokens(answers(core, prompts)) == expected


def test_rows_that_were_aborted_in_flight_do_not_touch_those_that_follow(ranks, prompts, expected):
    core = ranks.core(max_num_seqs=4)
    for number in range(4):
        core.add(AddRequest(f"gone {number}", [7 + number] * 20, GREEDY, 0.0))
    for number in range(4):
        core.step()
        core.abort([f"gone {number}"])

    assert tokens(answers(core, prompts[:8])) == expected[:8]


def test_samples_and_log_probabilities_are_those_of_one_rank(ranks, prompts, engine):
    sampling = SamplingParams(
        max_tokens=8, temperature=0.9, seed=11, logprobs=3, prompt_logprobs=2, frequency_penalty=0.4
    )
    alone = engine(ranks.checkpoint)
    for number, prompt in enumerate(prompts[:6]):
        alone.add(str(number), prompt, sampling)
    alone.run()

    together = answers(ranks.core(), prompts[:6], sampling)

    assert tokens(together) == [alone.tokens(str(number)) for number in range(6)]
    for number, outputs in enumerate(together):
        assert flat(outputs) == pytest.approx(flat(alone.outputs[str(number)]), abs=1e-4)


def flat(outputs):
    """Every log-probability of a request, prompt first."""
    positions = [
        position
        for output in outputs
        for position in [*(output.prompt_logprobs or []), *(output.logprobs or [])]
    ]
    return [entry.logprob for position in positions for entry in position]


def test_each_rank_holds_its_share_of_the_cache(ranks):
    shape, settings = ranks.checkpoint.shape(), ranks.checkpoint.settings()
    topology = ranks.executor._topology
    per_layer = (
        2 * shape.num_kv_heads // topology.tensor_parallel_size * settings.block_size * shape.head_dim * 4
    )

    of_all = topology.tensor_parallel_size * shape.num_layers * per_layer
    assert ranks.executor.held_bytes()[1] == of_all
    assert of_all / topology.world_size <= ranks.executor.bytes_per_block() < of_all


def test_ranks_of_one_node_share_memory_with_their_peers_and_with_the_stages_beside_them(ranks):
    topology = ranks.executor._topology
    stages = [topology.stage(rank) for rank in range(topology.world_size)]

    assert all(ranks.mapped("paddock-ranks")) == (topology.tensor_parallel_size > 1)
    assert ranks.mapped("paddock-stages") == [
        (stage > 0) + (stage < topology.pipeline_parallel_size - 1) for stage in stages
    ]


def test_whole_experts_with_sums_and_hidden_states_through_sockets_give_the_tokens_of_generate(
    checkpoint_of, prompts
):
    flags = {"disable_custom_all_reduce": True, "enable_expert_parallel": True}
    apart = Ranks(checkpoint_of("qwen3-moe"), 2, 2, **flags, expert_placement_strategy="round_robin")
    try:
        assert not any(apart.mapped("paddock-"))
        expected = [apart.checkpoint.continuation(prompt, 14) for prompt in prompts[:5]]
        assert tokens(answers(apart.core(), prompts[:5])) == expected
    finally:
        apart.executor.shutdown()
