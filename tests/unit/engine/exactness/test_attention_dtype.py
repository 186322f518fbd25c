"""Attention in another precision than the rest of the model (`--override-attention-dtype`)."""

import pytest
import torch

from paddock.engine.config import LoadConfig, parse_serve
from paddock.engine.layers.placement import Placement
from paddock.engine.models.shape import ModelShape
from paddock.engine.sampling.params import SamplingParams
from paddock.engine.settings import EngineSettings, SettingsError
from paddock.engine.weights.loader import load_model
from paddock.kernels import AttentionMetadata

CPU = torch.device("cpu")
FAMILIES = ("qwen3-tied-bias", "gemma3", "gpt-oss", "gpt2")
"""Head norms of both kinds, soft caps and windows, sinks, learned positions."""


def first_layers(checkpoint, place):
    """The model's attention, each layer bound to a cache of its precision."""
    model, _ = load_model(
        checkpoint.shape(), checkpoint.path, LoadConfig(use_tqdm_on_load=False), place, 64, 0
    )
    size = (4, model.num_kv_heads, 16, model.head_dim)
    dtype = place.attention_dtype or place.dtype
    for layer in model.layers:
        layer.self_attn.bind_cache(torch.zeros(size, dtype=dtype), torch.zeros(size, dtype=dtype))
    return model


@pytest.mark.parametrize("name", FAMILIES)
@torch.inference_mode()
def test_what_lies_between_the_projections_has_the_bits_of_the_wider_type(checkpoint_of, name):
    checkpoint = checkpoint_of(name)
    mixed = first_layers(checkpoint, Placement(torch.bfloat16, CPU, attention_dtype=torch.float32))
    wide = first_layers(checkpoint, Placement(torch.float32, CPU))
    step_of = recorded_steps(wide)

    for ours, theirs in zip(mixed.layers, wide.layers, strict=True):
        x = torch.randn(40, checkpoint.shape().hidden_size).bfloat16()
        attention, judge = ours.self_attn, theirs.self_attn
        judge.qkv_proj.multiply = lambda _, layer=attention, x=x: layer.qkv_proj(x).float()
        judge.o_proj.multiply = lambda out, layer=attention: layer.o_proj(out.bfloat16()).float()

        assert torch.equal(attention(x, step_of).float(), judge(x.float(), step_of))


def recorded_steps(model):
    """The step that a forward pass over 40 tokens gives its layers."""
    seen = []
    handle = model.layers[0].self_attn.register_forward_pre_hook(lambda _, given: seen.append(given[1]))
    metadata = AttentionMetadata.build([40], [40], [[2, 1, 0]], 16)
    model(torch.arange(40), torch.arange(40), metadata)
    handle.remove()
    return seen[0]


def test_the_cache_takes_the_type_of_the_attention_and_texts_stay_those_of_the_model(
    checkpoint_of, engine, prompts
):
    checkpoint, greedy = checkpoint_of("llama"), SamplingParams(max_tokens=8, temperature=0)
    plain, wide = (
        engine(checkpoint, dtype=dtype, attention_dtype=attention)
        for dtype, attention in (("bfloat16", None), ("bfloat16", "float32"))
    )

    assert wide.core.held_bytes()[1] == 2 * plain.core.held_bytes()[1]
    assert [len(text) for text in wide.generate(prompts[:4], greedy)] == [8] * 4

    narrow = engine(checkpoint, dtype="float32", attention_dtype="bfloat16")
    assert narrow.core.held_bytes()[1] == plain.core.held_bytes()[1]


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("deepseek-v3", (), "DeepseekV3ForCausalLM has an attention of its own kind"),
        ("llama", ("--model-impl", "transformers"), "LlamaForCausalLM runs through transformers"),
    ],
)
def test_attention_whose_type_stays_refuses_another(checkpoint_of, name, arguments, words):
    path = checkpoint_of(name).path
    config = parse_serve([str(path), "--override-attention-dtype", "float32", *arguments], {})

    with pytest.raises(SettingsError, match=f"--override-attention-dtype float32: {words}"):
        EngineSettings.resolve(config, ModelShape.read(path, config.model))


def test_the_names_of_types_are_those_of_dtype(checkpoint_of):
    path = checkpoint_of("llama").path
    config = parse_serve([str(path), "--override-attention-dtype", "half"], {})

    assert EngineSettings.resolve(config, ModelShape.read(path, config.model)).attention_dtype == "float16"
