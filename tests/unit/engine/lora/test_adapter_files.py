"""What is read of an adapter's folder, and in which words the rest is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from paddock.engine.lora.adapter import AdapterError
from paddock.engine.lora.config_file import read_scale
from paddock.engine.lora.weights_file import read_factors

SHAPES = {"model.layers.0.self_attn.q_proj": (6, 8), "model.layers.0.mlp.down_proj": (8, 5)}
PREFIX = "base_model.model.model.layers.0.self_attn.q_proj"
CONFIG = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "bias": "none", "target_modules": ["q_proj"]}


def write(folder: Path, tensors: dict[str, torch.Tensor] | None = None, **config: Any) -> Path:
    (folder / "adapter_config.json").write_text(json.dumps(CONFIG | config))
    whole = {f"{PREFIX}.lora_A.weight": torch.ones(2, 8), f"{PREFIX}.lora_B.weight": torch.ones(6, 2)}
    save_file(whole if tensors is None else tensors, folder / "adapter_model.safetensors")
    return folder


def test_the_scale_is_alpha_over_the_rank_or_over_its_root(tmp_path: Path) -> None:
    assert read_scale(write(tmp_path, r=4, lora_alpha=6), 8) == (4, 1.5)
    assert read_scale(write(tmp_path, r=4, lora_alpha=6, use_rslora=True), 8) == (4, 3.0)


def test_b_comes_scaled_and_both_in_float32(tmp_path: Path) -> None:
    folder = write(tmp_path)
    halves = {name: tensor.half() for name, tensor in load_file(folder / "adapter_model.safetensors").items()}

    [(module, factors)] = read_factors(write(tmp_path, halves), SHAPES, 8).items()

    assert module == "model.layers.0.self_attn.q_proj"
    assert torch.equal(factors.down, torch.ones(2, 8))
    assert torch.equal(factors.up, torch.full((6, 2), 2.0))


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"r": 9}, "r is 9, and --max-lora-rank allows 8; start the server with --max-lora-rank 9"),
        ({"r": 0}, "r is 0"),
        ({"r": True}, "r is True"),
        ({"lora_alpha": "16"}, "lora_alpha is '16'"),
        ({"peft_type": "IA3"}, "peft_type is 'IA3'; only 'LORA'"),
        ({"bias": "all"}, "bias is 'all'"),
        ({"use_dora": True}, "use_dora is True; DoRA"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save is ['lm_head']"),
        ({"rank_pattern": {"q_proj": 4}}, "rank_pattern"),
        ({"trainable_token_indices": [3]}, "trainable_token_indices"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights is 'pissa', which changed the base model"),
    ],
)
def test_a_kind_of_adapter_that_would_be_applied_wrongly_is_refused_by_name(
    tmp_path: Path, config: dict[str, Any], words: str
) -> None:
    with pytest.raises(AdapterError) as caught:
        read_factors(write(tmp_path, **config), SHAPES, 8)

    assert words in str(caught.value)
    assert str(tmp_path) in str(caught.value)


A, B = f"{PREFIX}.lora_A.weight", f"{PREFIX}.lora_B.weight"


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        ({}, "holds no tensor"),
        ({A: torch.ones(2, 8)}, "q_proj has no lora_B"),
        ({A: torch.ones(2, 7), B: torch.ones(6, 2)}, "the shape [2, 7]; with r 2 the model needs [2, 8]"),
        ({A: torch.ones(3, 8), B: torch.ones(6, 3)}, "the shape [3, 8]; with r 2"),
        ({A: torch.ones(2, 8), B: torch.full((6, 2), float("nan"))}, "not finite"),
        ({A.replace("q_proj", "x_proj"): torch.ones(1)}, "x_proj.lora_A.weight has no place in the model"),
        (
            {"base_model.model.lm_head.lora_A.weight": torch.ones(1)},
            "may change the linear layers down_proj, q_proj; not embeddings",
        ),
        ({PREFIX + ".lora_magnitude_vector": torch.ones(1)}, "has no place in the model"),
    ],
)
def test_tensors_that_do_not_fit_the_model_are_named(
    tmp_path: Path, tensors: dict[str, torch.Tensor], words: str
) -> None:
    with pytest.raises(AdapterError) as caught:
        read_factors(write(tmp_path, tensors), SHAPES, 8)

    assert words in str(caught.value)


def test_files_that_are_missing_pickled_or_broken_are_named(tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match="there is no adapter_config"):
        read_factors(tmp_path, SHAPES, 8)
    (write(tmp_path) / "adapter_model.safetensors").write_bytes(b"12345678901234567890")
    with pytest.raises(AdapterError, match="corrupt or cut short"):
        read_factors(tmp_path, SHAPES, 8)
    (tmp_path / "adapter_model.safetensors").rename(tmp_path / "adapter_model.bin")
    with pytest.raises(AdapterError, match="may run code when read: save the adapter as safetensors"):
        read_factors(tmp_path, SHAPES, 8)
    (tmp_path / "adapter_config.json").write_text("[" * 100_000)
    with pytest.raises(AdapterError, match="cannot be read"):
        read_factors(tmp_path, SHAPES, 8)
    (tmp_path / "adapter_config.json").write_text("{")
    with pytest.raises(AdapterError, match="cannot be read"):
        read_factors(tmp_path, SHAPES, 8)
