"""Decode steps over buffers that stay, filled up to the sizes that were recorded: the same tokens as eager steps give.

The recorder is one that runs the step again; all else is what runs on a GPU.
"""

import numpy as np
import pytest
import torch
from lora_adapters import save_adapter
from model_families import CONFIGS
from rerun_recorder import RerunRecorder

from paddock.engine.config import LoadConfig
from paddock.engine.layers.placement import Placement
from paddock.engine.lora.adapter import AdapterLimits
from paddock.engine.messages import AddRequest, LoadAdapter
from paddock.engine.sampling.params import SamplingParams
from paddock.engine.weights.loader import load_model
from paddock.engine.worker import graph_capture
from paddock.engine.worker.batch import StepBatch
from paddock.engine.worker.decode_graphs import DecodeGraphs
from paddock.engine.worker.static_inputs import StaticInputs
from paddock.kernels import AttentionMetadata

GREEDY = SamplingParams(max_tokens=12, temperature=0)
SIZES = (1, 4, 6)
QUICK = ("qwen3", "gemma3", "qwen3-moe", "deepseek-v3", "gpt-oss-mxfp4", "gpt2")
"""A dense one, windows, experts, latent attention, sinks and learned positions; the others are in the long run."""

CPU = torch.device("cpu")


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> RerunRecorder:
    recorder = RerunRecorder()
    monkeypatch.setattr(graph_capture, "recorder_for", lambda device: recorder)
    return recorder


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in QUICK else pytest.mark.long) for name in CONFIGS]
)
def test_every_family_gives_the_tokens_of_eager_steps(name, checkpoint_of, engine, prompts, recorder) -> None:
    """Seven at once, each a token longer than the next: steps of all seven are too large, then there are six, and so on."""
    checkpoint = checkpoint_of(name)
    asked = [prompts[index] for index in (0, 3, 8, 11, 14, 20, 25)]
    lengths = [GREEDY.max_tokens - index for index in range(len(asked))]
    tokens = []
    for sizes in ((), SIZES):
        recorded = engine(checkpoint, graph_sizes=sizes, max_num_seqs=8)
        for index, (prompt, length) in enumerate(zip(asked, lengths, strict=True)):
            recorded.add(f"{index}", prompt, SamplingParams(max_tokens=length, temperature=0))
        recorded.run()
        tokens.append([recorded.tokens(f"{index}") for index in range(len(asked))])

    assert tokens[0] == tokens[1]
    assert recorder.num_replays == len(SIZES) + 6


def test_steps_that_also_compute_prompts_run_eagerly(checkpoint_of, engine, prompts, recorder) -> None:
    plain, recorded = (engine(checkpoint_of("qwen3"), graph_sizes=sizes) for sizes in ((), (1, 2, 4)))
    expected = plain.generate(prompts[:4], GREEDY)

    recorded.add("0", prompts[0], GREEDY)
    for index in (1, 2, 3):
        recorded.step()
        recorded.step()
        before = recorder.num_replays
        recorded.add(f"{index}", prompts[index], GREEDY)
        recorded.step()
        assert recorder.num_replays == before
    recorded.run()

    assert [recorded.tokens(f"{index}") for index in range(4)] == expected


@pytest.mark.parametrize("changes", [{"async_scheduling": True}, {"num_gpu_blocks_override": 33}], ids=str)
def test_steps_ahead_and_preemption_change_nothing(checkpoint_of, engine, prompts, recorder, changes) -> None:
    """With so few blocks most of the recorded sizes have rows without a block of their own."""
    expected = engine(checkpoint_of("qwen2")).generate(prompts[:6], GREEDY)

    recorded = engine(checkpoint_of("qwen2"), graph_sizes=(2, 8, 40), **changes).generate(prompts[:6], GREEDY)

    assert recorded == expected
    assert recorder.num_replays > 10


def test_steps_with_adapters_run_eagerly_and_all_others_do_not(
    checkpoint_of, engine, prompts, recorder, tmp_path
) -> None:
    checkpoint = checkpoint_of("qwen3")
    path = save_adapter(checkpoint.oracle, tmp_path / "a", ("q_proj", "down_proj"))
    limits = AdapterLimits(max_loras=1, max_cpu_loras=1, max_rank=8, dtype="float32")

    def tokens(**changes):
        served = engine(checkpoint, lora=limits, **changes)
        assert served.core.adapters.load(LoadAdapter("a", str(path))) is None
        for index, name in enumerate((None, "a", None)):
            length = SamplingParams(max_tokens=5 * index + 5, temperature=0)
            message = AddRequest(f"{index}", prompts[index], length, 0.0, adapter=name)
            assert served.core.add(message) is None
        served.run()
        return [served.tokens(f"{index}") for index in range(3)]

    assert tokens(graph_sizes=(1, 2, 4)) == tokens()
    # While the second runs, and with it the last 5 tokens of the third, none is replayed.
    assert recorder.num_replays == 3 + 5


def test_a_cache_that_was_recorded_on_holds_nothing(checkpoint_of, recorder) -> None:
    checkpoint = checkpoint_of("llama")
    executor = checkpoint.executor(checkpoint.settings(graph_sizes=SIZES))

    executor.initialize_cache(9)

    layers = executor.worker.model.layers
    assert recorder.num_replays == len(SIZES)
    assert not any(
        cache.any() for layer in layers for cache in (layer.self_attn.key_cache, layer.self_attn.value_cache)
    )


def one_token_each(token_ids: torch.Tensor, metadata: AttentionMetadata) -> StepBatch:
    order = np.arange(len(token_ids))
    return StepBatch(token_ids, torch.zeros_like(token_ids), metadata, order, order, order)


@torch.inference_mode()
def test_pipeline_stages_hand_over_what_they_would_without_graphs(checkpoint_of) -> None:
    """A stage's result stays what it is while the next step is replayed."""
    checkpoint = checkpoint_of("qwen3")
    settings = checkpoint.settings(graph_sizes=(4,))
    hidden = None
    for stage in (0, 1):
        place = Placement(torch.float32, CPU, stage=stage, num_stages=2)
        model, _ = load_model(
            checkpoint.shape(), checkpoint.path, LoadConfig(use_tqdm_on_load=False), place, 64, 0
        )
        size = (8, model.num_kv_heads, settings.block_size, model.head_dim)
        model.bind_cache([(torch.zeros(size), torch.zeros(size)) for _ in range(model.num_cache_layers)])
        inputs = StaticInputs(model, 4, 8, checkpoint.shape().hidden_size, place)
        graphs = DecodeGraphs(inputs, RerunRecorder(), settings, place)
        graphs.capture((4,), 8)
        ids, metadata = torch.tensor([5, 9, 2]), AttentionMetadata.build([1] * 3, [1] * 3, [[3], [1], [6]], 8)
        expected = model(ids, torch.zeros_like(ids), metadata, hidden)
        hidden = graphs.replay(one_token_each(ids, metadata), hidden)
        kept = hidden.clone()
        if stage == 0:
            graphs.replay(one_token_each(ids + 1, metadata), None)

        assert torch.equal(hidden, expected)
        assert torch.equal(hidden, kept)
