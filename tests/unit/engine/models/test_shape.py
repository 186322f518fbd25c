"""What is read from config.json, of any age, and what is refused."""

import json

import pytest
import torch
from transformers import LlamaConfig, Qwen2Config, Qwen3Config

from paddock.engine.config.model import ModelConfig
from paddock.engine.models.errors import CheckpointError
from paddock.engine.models.shape import ModelShape

QWEN3 = {
    "architectures": ["Qwen3ForCausalLM"],
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "vocab_size": 100,
    "max_position_embeddings": 512,
    "rope_theta": 1000000.0,
    "torch_dtype": "bfloat16",
    "eos_token_id": 7,
}


@pytest.fixture
def read(tmp_path):
    def run(config=QWEN3, generation=None, **changes):
        fields = {k: v for k, v in (config | changes).items() if v is not ...}
        (tmp_path / "config.json").write_text(json.dumps(fields))
        if generation is not None:
            (tmp_path / "generation_config.json").write_text(json.dumps(generation))
        return ModelShape.read(tmp_path, ModelConfig())

    return run


def test_a_config_of_transformers_4_is_read(read):
    shape = read(rope_scaling={"type": "linear", "factor": 2.0})

    assert (shape.num_layers, shape.num_heads, shape.num_kv_heads, shape.head_dim) == (4, 4, 2, 32)
    assert (shape.rope.theta, shape.rope.kind, shape.rope.factor) == (1e6, "linear", 2.0)
    assert shape.torch_dtype == "bfloat16"
    assert shape.layer_windows == (None,) * 4


def test_a_config_of_transformers_5_is_read(tmp_path):
    config = Qwen3Config(
        num_hidden_layers=2,
        rope_parameters={
            "rope_type": "llama3",
            "rope_theta": 5e5,
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192,
        },
        dtype=torch.float16,
        architectures=["Qwen3ForCausalLM"],
    )
    config.save_pretrained(tmp_path)

    shape = ModelShape.read(tmp_path, ModelConfig())

    assert (shape.rope.theta, shape.rope.kind, shape.rope.factor) == (5e5, "llama3", 8.0)
    assert shape.rope.original_max_position_embeddings == 8192
    assert shape.torch_dtype == "float16"


@pytest.mark.parametrize("config", [LlamaConfig(), Qwen2Config(), Qwen3Config()], ids=lambda c: c.model_type)
def test_the_defaults_of_each_family_are_those_of_transformers(tmp_path, config):
    config.architectures = [
        {"llama": "Llama", "qwen2": "Qwen2", "qwen3": "Qwen3"}[config.model_type] + "ForCausalLM"
    ]
    config.save_pretrained(tmp_path)
    shape = ModelShape.read(tmp_path, ModelConfig())

    assert (
        shape.head_dim == getattr(config, "head_dim", None)
        or config.hidden_size // config.num_attention_heads
    )
    assert shape.tie_embeddings == config.tie_word_embeddings
    assert shape.rope.theta == config.rope_parameters["rope_theta"]
    assert shape.layer_windows == (None,) * config.num_hidden_layers


def test_windows_follow_layer_types(read):
    kinds = ["full_attention", "sliding_attention", "full_attention", "sliding_attention"]

    assert read(use_sliding_window=True, sliding_window=9, layer_types=kinds).layer_windows == (
        None,
        9,
        None,
        9,
    )
    assert read(use_sliding_window=False, sliding_window=9, layer_types=kinds).layer_windows == (None,) * 4


def test_mistrals_window_covers_every_layer(read):
    shape = read(architectures=["MistralForCausalLM"], sliding_window=16)

    assert shape.layer_windows == (16,) * 4


@pytest.mark.parametrize(
    ("own", "generation", "expected"),
    [
        (7, None, (7,)),
        ([7, 9], {"eos_token_id": 9}, (7, 9)),
        (None, {"eos_token_id": [3, 4]}, (3, 4)),
        (None, {}, ()),
    ],
)
def test_eos_comes_from_both_files(read, own, generation, expected):
    assert read(eos_token_id=own, generation=generation).eos_token_ids == expected


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"architectures": ["ViTModel"]},
            "architecture 'ViTModel' is not supported; supported: .*Llama.*Qwen3",
        ),
        ({"architectures": ...}, "architectures is .*; it must name the model's class"),
        ({"num_hidden_layers": ...}, "num_hidden_layers is None; expected a whole number of at least 1"),
        ({"hidden_size": "64"}, "hidden_size is '64'; expected a whole number"),
        ({"num_key_value_heads": 3}, "num_attention_heads 4 is not a multiple of num_key_value_heads 3"),
        (
            {"rope_scaling": {"rope_type": "proportional", "factor": 2}},
            "rope type 'proportional' is not supported; supported: default",
        ),
        ({"rope_scaling": {"rope_type": "linear"}}, "rope type 'linear' needs a factor"),
        (
            {"rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.5}},
            "partial_rotary_factor 0.5",
        ),
        ({"hidden_act": "gelu"}, "hidden_act 'gelu' is not supported"),
        ({"quantization_config": {"quant_method": "hqq"}}, "quantization_config 'hqq' is not supported here"),
        ({"torch_dtype": "float8"}, "dtype 'float8' is not supported"),
    ],
)
def test_what_the_engine_cannot_run_is_refused_by_name(read, changes, message):
    with pytest.raises(CheckpointError, match=message):
        read(**changes)


def test_a_missing_folder_a_missing_file_and_broken_json_are_told_apart(tmp_path):
    with pytest.raises(
        CheckpointError, match="does not exist; check the path, or that its volume is mounted"
    ):
        ModelShape.read(tmp_path / "nowhere", ModelConfig())
    with pytest.raises(CheckpointError, match=r"holds no config\.json"):
        ModelShape.read(tmp_path, ModelConfig())
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match="cannot be read as JSON"):
        ModelShape.read(tmp_path, ModelConfig())
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(CheckpointError, match="expected a JSON object, found list"):
        ModelShape.read(tmp_path, ModelConfig())


def test_reading_a_shape_imports_neither_torch_nor_transformers(tmp_path):
    import subprocess
    import sys

    (tmp_path / "config.json").write_text(json.dumps(QWEN3))
    code = (
        "import sys, pathlib\n"
        "from paddock.engine.config.model import ModelConfig\n"
        "from paddock.engine.models.shape import ModelShape\n"
        f"ModelShape.read(pathlib.Path({str(tmp_path)!r}), ModelConfig())\n"
        "sys.exit(any(name in sys.modules for name in ('torch', 'transformers')))\n"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
