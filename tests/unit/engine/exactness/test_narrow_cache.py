"""`--kv-cache-dtype`: tokens near those of the full cache, exactly the same however the work is cut, half the memory."""

import shutil
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from paddock.engine.config import LoadConfig
from paddock.engine.config.serve import ServeConfig
from paddock.engine.core import EngineCore
from paddock.engine.layers.placement import Placement
from paddock.engine.messages import AddRequest
from paddock.engine.models.errors import CheckpointError
from paddock.engine.sampling.params import SamplingParams
from paddock.engine.settings import EngineSettings, SettingsError
from paddock.engine.weights.loader import load_model
from paddock.kernels import AttentionMetadata

PROMPTS = [[(7 * i + n) % 211 for i in range(n)] for n in (1, 9, 40, 41, 70)]
NARROW = ("bfloat16", "float8_e4m3fn", "float8_e5m2")
GREEDY = SamplingParams(max_tokens=14, temperature=0)


def run(checkpoint, repeat=1, **changes):
    """The tokens of each prompt, and the engine that made them."""
    settings = checkpoint.settings(**changes)
    core = EngineCore(checkpoint.executor(settings), settings)
    for turn in range(repeat):
        answers = {f"{turn}-{number}": [] for number in range(len(PROMPTS))}
        for number, prompt in enumerate(PROMPTS):
            assert core.add(AddRequest(f"{turn}-{number}", list(prompt), GREEDY, 0.0)) is None
        while core.has_work:
            for output in core.step().get(b"", []):
                answers[output.request_id] += output.new_token_ids
        core.check_integrity()
    return list(answers.values()), core


@pytest.mark.parametrize(("name", "cache"), list(zip(("qwen3", "gemma2", "gpt2"), NARROW, strict=True)))
def test_chunks_prefixes_and_preemption_change_nothing(name, cache, checkpoint_of):
    checkpoint = checkpoint_of(name)
    expected, _ = run(checkpoint, cache_dtype=cache, enable_prefix_caching=False)

    chunked, _ = run(checkpoint, cache_dtype=cache, max_num_batched_tokens=43, enable_prefix_caching=False)
    warm, core = run(checkpoint, repeat=2, cache_dtype=cache)
    tight, squeezed = run(checkpoint, cache_dtype=cache, num_gpu_blocks_override=24, max_model_len=128)

    assert chunked == warm == tight == expected
    assert core.counters().prefix_cache_hits > 0
    assert squeezed.counters().num_preemptions > 0


@pytest.mark.parametrize(("cache", "tolerance"), list(zip(NARROW, (0.01, 0.1, 0.2), strict=True)))
@torch.inference_mode()
def test_logits_are_near_those_of_the_full_cache(cache, tolerance, checkpoint_of):
    """By the norm of the difference, relative to the logits' own. Halves of 8 bits hold 4 and 3 significant bits."""
    checkpoint = checkpoint_of("qwen3")
    ids = torch.tensor(PROMPTS[-1])

    ours = logits_with(checkpoint, ids, getattr(torch, cache))
    exact = checkpoint.logits(ids.tolist())

    assert 0 < (ours - exact).norm() / exact.norm() < tolerance


@torch.inference_mode()
def test_scales_of_the_checkpoint_bring_keys_and_values_into_range(checkpoint_of, tmp_path):
    checkpoint = checkpoint_of("qwen3")
    shutil.copytree(checkpoint.path, tmp_path, dirs_exist_ok=True)
    file = tmp_path / "model.safetensors"
    tensors = load_file(file)
    for layer in range(3):  # values too small for 8 bits; the output weights make up for it
        tensors[f"model.layers.{layer}.self_attn.v_proj.weight"] *= 2**-14
        tensors[f"model.layers.{layer}.self_attn.o_proj.weight"] *= 2**14
    ids = torch.tensor(PROMPTS[-1])
    exact = checkpoint.logits(ids.tolist())

    save_file(tensors, file, metadata={"format": "pt"})
    lost = logits_with(replace(checkpoint, path=tmp_path), ids, torch.float8_e4m3fn)
    scales = {f"model.layers.{layer}.self_attn.v_scale": torch.tensor(2.0**-14) for layer in range(3)}
    save_file(tensors | scales, file, metadata={"format": "pt"})
    kept = logits_with(replace(checkpoint, path=tmp_path), ids, torch.float8_e4m3fn)

    assert (lost - exact).norm() / exact.norm() > 0.2
    assert (kept - exact).norm() / exact.norm() < 0.1


def logits_with(checkpoint, ids, cache_dtype):
    place = Placement(torch.float32, torch.device("cpu"))
    model, _ = load_model(
        checkpoint.shape(), checkpoint.path, LoadConfig(use_tqdm_on_load=False), place, 128, 0
    )
    size = (6, model.num_kv_heads, 16, model.head_dim)
    caches = [[torch.zeros(size).to(cache_dtype) for _ in range(2)] for _ in range(model.num_cache_layers)]
    model.bind_cache([tuple(pair) for pair in caches])
    metadata = AttentionMetadata.build([len(ids)], [len(ids)], [[4, 1, 0, 5, 2]], 16)
    return model.logits(model(ids, torch.arange(len(ids)), metadata))


def test_a_scale_that_is_no_positive_number_is_told(checkpoint_of, tmp_path):
    checkpoint = checkpoint_of("qwen3")
    shutil.copytree(checkpoint.path, tmp_path, dirs_exist_ok=True)
    file = tmp_path / "model.safetensors"
    spoiled = load_file(file) | {"model.layers.1.self_attn.k_scale": torch.tensor(0.0)}
    save_file(spoiled, file, metadata={"format": "pt"})

    with pytest.raises(CheckpointError, match=r"layers\.1\.self_attn\.k_scale \[\] is no positive number"):
        logits_with(replace(checkpoint, path=tmp_path), torch.tensor([1]), torch.float32)


def test_the_cache_holds_twice_the_tokens_of_16_bits(checkpoint_of):
    checkpoint = checkpoint_of("qwen3")
    sizes = {
        cache: checkpoint.executor(checkpoint.settings(dtype="bfloat16", cache_dtype=cache)).bytes_per_block()
        for cache in (None, *NARROW)
    }

    assert sizes[None] == sizes["bfloat16"] == 2 * sizes["float8_e4m3fn"] == 2 * sizes["float8_e5m2"]


@pytest.mark.parametrize(
    ("asked", "dtype"),
    [("auto", None), ("bfloat16", "bfloat16"), ("fp8", "float8_e4m3fn"), ("fp8_e4m3", "float8_e4m3fn"),
     ("fp8_e5m2", "float8_e5m2")],
)  # fmt: skip
def test_the_argument_chooses_the_type(asked, dtype, checkpoint_of):
    config = ServeConfig.model_validate({"cache": {"kv_cache_dtype": asked}})

    assert EngineSettings.resolve(config, checkpoint_of("qwen3").shape()).cache_dtype == dtype


def test_latent_attention_refuses_another_type_than_the_computations(checkpoint_of):
    config = ServeConfig.model_validate({"cache": {"kv_cache_dtype": "fp8"}})

    with pytest.raises(
        SettingsError, match="--kv-cache-dtype fp8: DeepseekV3ForCausalLM keeps one latent vector"
    ):
        EngineSettings.resolve(config, checkpoint_of("deepseek-v3").shape())


def test_measured_scales_bring_keys_and_values_into_range(checkpoint_of, engine, tmp_path):
    checkpoint = checkpoint_of("qwen3")
    shutil.copytree(checkpoint.path, tmp_path, dirs_exist_ok=True)
    file = tmp_path / "model.safetensors"
    tensors = load_file(file)
    for layer in range(3):  # as above, and with scales that are wrong by far, which measured ones replace
        tensors[f"model.layers.{layer}.self_attn.v_proj.weight"] *= 2**-14
        tensors[f"model.layers.{layer}.self_attn.o_proj.weight"] *= 2**14
        tensors[f"model.layers.{layer}.self_attn.v_scale"] = torch.tensor(1.0)
    save_file(tensors, file, metadata={"format": "pt"})
    exact = checkpoint.logits(PROMPTS[-1]).log_softmax(-1)

    errors = [
        error_of_prompt(engine(replace(checkpoint, path=tmp_path), **changes), exact)
        for changes in (
            {"cache_dtype": "float8_e4m3fn"},
            {"cache_dtype": "float8_e4m3fn", "calculate_kv_scales": True},
            {"cache_dtype": "float8_e5m2", "calculate_kv_scales": True},
        )
    ]

    assert errors[0] > 0.2
    assert errors[1] < 0.06
    assert errors[2] < 0.12


def error_of_prompt(served, exact):
    """Of the prompt's log-probabilities, relative to the norm of the exact ones."""
    prompt = PROMPTS[-1]
    served.add("a", prompt, SamplingParams(max_tokens=1, temperature=0, prompt_logprobs=0))
    served.run()
    ours = torch.tensor([entry[0].logprob for entry in served.outputs["a"][0].prompt_logprobs])
    theirs = exact[range(len(prompt) - 1), prompt[1:]]
    return float((ours - theirs).norm() / theirs.norm())


def test_measured_scales_are_those_of_every_start_and_within_reach_of_none(checkpoint_of, engine):
    checkpoint = checkpoint_of("gemma2")
    exact = checkpoint.logits(PROMPTS[-1]).log_softmax(-1)
    changes = {"cache_dtype": "float8_e4m3fn", "calculate_kv_scales": True}

    plain = error_of_prompt(engine(checkpoint, cache_dtype="float8_e4m3fn"), exact)
    served = [engine(checkpoint, **changes) for _ in range(2)]
    scales = [
        [layer.self_attn.cache_scales for layer in each.core._executor.worker.model.layers] for each in served
    ]

    assert scales[0] == scales[1]
    assert all(scale != 1.0 for layer in scales[0] for scale in layer)
    assert error_of_prompt(served[0], exact) < 1.5 * plain


def test_scales_are_measured_only_for_what_is_scaled(checkpoint_of):
    with pytest.raises(ValueError, match="--calculate-kv-scales needs --kv-cache-dtype fp8"):
        ServeConfig.model_validate({"cache": {"calculate_kv_scales": True}})
    given = {"cache": {"calculate_kv_scales": True, "kv_cache_dtype": "fp8"}}
    assert EngineSettings.resolve(
        ServeConfig.model_validate(given), checkpoint_of("qwen3").shape()
    ).calculate_kv_scales

    through = ServeConfig.model_validate(given | {"model": {"model_impl": "transformers"}})
    with pytest.raises(
        SettingsError, match="--calculate-kv-scales: Qwen3ForCausalLM runs through transformers"
    ):
        EngineSettings.resolve(through, replace(checkpoint_of("qwen3").shape(), native=False))
