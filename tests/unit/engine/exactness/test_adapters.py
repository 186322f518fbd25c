"""Adapters beside the base model in one batch: the judge is transformers in float32, with B times A merged."""

from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from lora_adapters import merged, save_adapter

from paddock.engine.config.serve import ServeConfig
from paddock.engine.core import EngineCore
from paddock.engine.executor.mp import MpExecutor
from paddock.engine.lora.adapter import AdapterLimits
from paddock.engine.lora.linear import AdaptedLinear, LowRankUpdate, StepGroups
from paddock.engine.messages import AddRequest, LoadAdapter, UnloadAdapter
from paddock.engine.sampling.params import SamplingParams
from paddock.kernels import pack_quantized, round_to_nearest

GREEDY = SamplingParams(max_tokens=10, temperature=0)
ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
GATED = (*ATTENTION, "gate_proj", "up_proj", "down_proj")
TARGETS = {
    "qwen2-window-tied": GATED,
    "phi3": ("qkv_proj", "o_proj", "gate_up_proj", "down_proj"),
    "gpt2": ("c_attn", "c_proj", "c_fc"),
    "llama-tied-llama3-rope": GATED,
    "qwen3-one-kv-head": GATED,
    "opt": ("q_proj", "v_proj", "out_proj", "fc1", "fc2"),
    "qwen3-moe": ATTENTION,
    "gpt-oss": ATTENTION,
    "deepseek-v3": ("q_a_proj", "q_b_proj", "kv_a_proj_with_mqa", "o_proj", "gate_proj"),
}
QUICK = ("qwen2-window-tied", "phi3", "gpt2")
"""Parts of fused layers, a checkpoint that is fused itself, and one that is transposed; the others are in the long run."""

LIMITS = AdapterLimits(max_loras=2, max_cpu_loras=2, max_rank=8, dtype="float32")
NAMES = (None, "a", "b", "c")


@dataclass
class Adapted:
    """A checkpoint with adapters, and what transformers says of each."""

    checkpoint: Any
    paths: dict[str, str]
    models: dict[str | None, Any]

    def core(self, executor=None, limits=LIMITS, **changes):
        settings = self.checkpoint.settings(lora=limits, **changes)
        core = EngineCore(executor or self.checkpoint.executor(settings), settings)
        for name in ("a", "b"):
            assert core.adapters.load(LoadAdapter(name, self.paths[name])) is None
        return core

    @torch.inference_mode()
    def continuation(self, prompt, name):
        ids = torch.tensor([list(prompt)])
        count = GREEDY.max_tokens
        out = self.models[name].generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=count,
            min_new_tokens=count,
            do_sample=False,
        )
        return out[0, len(prompt) :].tolist()


@pytest.fixture(scope="module")
def adapted(checkpoint_of, tmp_path_factory):
    made = {}

    def get(name):
        if name not in made:
            checkpoint = checkpoint_of(name)
            model, folder = checkpoint.oracle, tmp_path_factory.mktemp("adapters")
            kinds = TARGETS.get(name, GATED)
            paths = {
                "a": save_adapter(model, folder / "a", kinds, rank=4, seed=1),
                "b": save_adapter(model, folder / "b", kinds[:2], rank=7, seed=2, use_rslora=True),
                "c": save_adapter(model, folder / "c", kinds[-1:], rank=1, seed=3),
            }
            models = {None: model} | {key: merged(model, path) for key, path in paths.items()}
            made[name] = Adapted(checkpoint, {key: str(path) for key, path in paths.items()}, models)
        return made[name]

    return get


def answers(core, asked):
    """`asked` holds (prompt, adapter); their tokens, all in one go."""
    found = {str(number): [] for number in range(len(asked))}
    for number, (prompt, adapter) in enumerate(asked):
        assert core.add(AddRequest(str(number), list(prompt), GREEDY, 0.0, adapter=adapter)) is None
    while core.has_work:
        for output in core.step().get(b"", []):
            assert output.error is None
            found[output.request_id] += output.new_token_ids
    core.check_integrity()
    return list(found.values())


def every_way(prompts, names):
    return [(prompt, name) for prompt in prompts for name in names]


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in QUICK else pytest.mark.long) for name in TARGETS]
)
def test_two_adapters_and_the_base_in_one_batch_give_the_tokens_of_merged_models(adapted, prompts, name):
    model = adapted(name)
    asked = every_way([prompts[0], prompts[8]], (None, "a", "b"))
    expected = [model.continuation(prompt, adapter) for prompt, adapter in asked]
    assert expected[0] != expected[1] != expected[2]

    core = model.core()

    assert answers(core, asked) == expected
    assert answers(core, asked) == expected, "from a warm cache"
    assert core.counters().prefix_cache_hits > 0


def test_prompt_log_probabilities_are_those_of_the_merged_model(adapted, prompts):
    """Gemma's, whose random checkpoints say the same token over and over."""
    model, prompt = adapted("gemma3"), prompts[12]
    core = model.core()
    core.add(AddRequest("r", prompt, SamplingParams(max_tokens=1, prompt_logprobs=0), 0.0, adapter="a"))
    [output] = core.step()[b""]
    found = [position[0].logprob for position in output.prompt_logprobs]

    for name, is_right in (("a", True), (None, False)):
        with torch.inference_mode():
            scores = model.models[name](torch.tensor([prompt])).logits[0].log_softmax(dim=-1)
        expected = [float(scores[at, token]) for at, token in enumerate(prompt[1:])]
        assert (found == pytest.approx(expected, abs=1e-3)) == is_right


@pytest.fixture(scope="module")
def case(adapted, prompts):
    """A model, six prompts by three adapters and the base, and the right tokens."""
    model = adapted("qwen2-window-tied")
    asked = every_way([*prompts[:2], *prompts[9:13]], NAMES)
    return model, asked, [model.continuation(prompt, adapter) for prompt, adapter in asked]


def with_third(core, model):
    assert core.adapters.load(LoadAdapter("c", model.paths["c"])) is None
    return core


@pytest.mark.parametrize(
    "changes",
    [
        {"max_num_batched_tokens": 29, "max_num_seqs": 7, "enable_prefix_caching": False},
        {"num_gpu_blocks_override": 32, "max_num_seqs": 20},
        {"async_scheduling": True, "block_size": 16},
        {"limits": AdapterLimits(1, 1, 8, "float32")},
    ],
    ids=["chunked", "preempted", "planned ahead", "one at a time, read from disk each time"],
)
def test_more_adapters_than_run_at_once_give_the_tokens_of_merged_models(case, changes):
    model, asked, expected = case
    core = with_third(model.core(**changes), model)

    assert answers(core, asked) == expected
    if "num_gpu_blocks_override" in changes:
        assert core.counters().num_preemptions > 0


def test_an_adapter_that_is_unloaded_answers_those_who_asked_before(case):
    model, asked, expected = case
    core = model.core(max_num_seqs=2)
    mine = [(number, prompt) for number, (prompt, adapter) in enumerate(asked) if adapter == "a"]
    for number, prompt in mine:
        assert core.add(AddRequest(str(number), prompt, GREEDY, 0.0, adapter="a")) is None
    assert core.adapters.unload(UnloadAdapter("a")) is None
    found = {number: [] for number, _ in mine}
    while core.has_work:
        for output in core.step().get(b"", []):
            found[int(output.request_id)] += output.new_token_ids

    assert found == {number: expected[number] for number, _ in mine}
    refusal = core.add(AddRequest("late", [1, 2], GREEDY, 0.0, adapter="a"))
    assert (refusal.status, refusal.message) == (404, "The adapter 'a' is not loaded; loaded are: b.")
    assert set(core._executor.worker.adapters._held) == {2}


def test_the_same_name_loaded_in_place_has_new_weights_and_no_old_blocks(case):
    model, asked, expected = case
    core = model.core()
    prompts_of_a = [prompt for prompt, adapter in asked if adapter == "a"]
    assert answers(core, [(prompt, "a") for prompt in prompts_of_a]) == expected[1::4]

    assert core.adapters.load(LoadAdapter("a", model.paths["c"])).status == 400
    assert core.adapters.load(LoadAdapter("a", model.paths["c"], in_place=True)) is None

    assert answers(core, [(prompt, "a") for prompt in prompts_of_a]) == expected[3::4]


def test_an_adapter_whose_files_have_gone_ends_its_requests_and_nobody_elses(case, tmp_path):
    model, asked, expected = case
    core = model.core(limits=AdapterLimits(1, 1, 8, "float32"))
    gone = save_adapter(model.models[None], tmp_path / "gone", ("q_proj",))
    assert core.adapters.load(LoadAdapter("gone", str(gone))) is None
    assert core.adapters.load(LoadAdapter("c", model.paths["c"])) is None
    (gone / "adapter_model.safetensors").unlink()

    for number in range(2):
        core.add(AddRequest(f"gone {number}", asked[0][0], GREEDY, 0.0, adapter="gone"))
    core.add(AddRequest("c", asked[3][0], GREEDY, 1.0, adapter="c"))
    outputs = {}
    while core.has_work:
        for output in core.step().get(b"", []):
            outputs.setdefault(output.request_id, []).append(output)

    assert [token for output in outputs["c"] for token in output.new_token_ids] == expected[3]
    for number in range(2):
        assert "cannot be read any more" in outputs[f"gone {number}"][-1].error
    assert "gone" not in [adapter.name for adapter in core.adapters.served]


@pytest.mark.parametrize("bits", [8, 4])
def test_an_adapter_adds_to_the_output_of_a_rounded_layer(bits):
    torch.manual_seed(5)
    weight, down, up = torch.randn(48, 64), torch.randn(3, 64), torch.randn(48, 3)
    base = pack_quantized(round_to_nearest(weight, bits, 32), dtype=torch.float32)
    x, step = torch.randn(9, 64), StepGroups([(7, torch.tensor([1, 4, 8]))])
    layer = AdaptedLinear(base, step)
    layer.updates[7] = LowRankUpdate(down, up)

    expected = base(x)
    expected[[1, 4, 8]] += x[[1, 4, 8]] @ down.T @ up.T

    torch.testing.assert_close(layer(x), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("tensor", "pipeline", "name", "fully"),
    [
        (2, 1, "qwen3-one-kv-head", True),
        pytest.param(2, 1, "qwen3-one-kv-head", False, marks=pytest.mark.long),
        pytest.param(2, 2, "qwen2-window-tied", False, marks=pytest.mark.long),
        pytest.param(2, 2, "qwen2-window-tied", True, marks=pytest.mark.long),
        pytest.param(1, 3, "phi3", False, marks=pytest.mark.long),
        pytest.param(2, 1, "phi3", False, marks=pytest.mark.long),
        pytest.param(2, 1, "gpt2", True, marks=pytest.mark.long),
        pytest.param(2, 1, "deepseek-v3", True, marks=pytest.mark.long),
    ],
)
def test_ranks_give_the_tokens_of_merged_models(adapted, prompts, tmp_path, tensor, pipeline, name, fully):
    model = adapted(name)
    asked = every_way([prompts[0], prompts[8], prompts[12]], NAMES)
    sizes = {"tensor_parallel_size": tensor, "pipeline_parallel_size": pipeline}
    config = ServeConfig.model_validate({"parallel": sizes})
    limits = replace(LIMITS, fully_sharded=fully)
    settings = model.checkpoint.settings(lora=limits)
    executor = MpExecutor(settings, config, model.checkpoint.shape(), model.checkpoint.path)
    try:
        core = with_third(model.core(executor, limits), model)
        problem = core.adapters.load(LoadAdapter("d", str(tmp_path))).message
        assert "there is no adapter_config.json" in problem
        assert answers(core, asked) == [model.continuation(prompt, adapter) for prompt, adapter in asked]
    finally:
        executor.shutdown()
