"""A small checkpoint on disk, and what to load it into."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from paddock.engine.config.load import LoadConfig
from paddock.engine.config.model import ModelConfig
from paddock.engine.layers.placement import Placement
from paddock.engine.models.causal_lm import CausalLM
from paddock.engine.models.registry import model_class
from paddock.engine.models.shape import ModelShape
from paddock.engine.weights.loader import fill_from_checkpoint, load_model, names_elsewhere
from paddock.engine.weights.options import LoadOptions


@pytest.fixture
def oracle() -> Any:
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=67,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        max_position_embeddings=64,
    )
    return Qwen3ForCausalLM._from_config(config, dtype=torch.float32).eval()


@pytest.fixture
def folder(tmp_path: Path, oracle: Any) -> Path:
    oracle.save_pretrained(tmp_path)
    return tmp_path


@pytest.fixture
def load() -> Callable[..., CausalLM]:
    def run(
        folder: Path, load_format: str = "auto", dtype: torch.dtype = torch.float32, seed: int = 0
    ) -> CausalLM:
        shape = ModelShape.read(folder, ModelConfig())
        config = LoadConfig.model_validate({"load_format": load_format, "use_tqdm_on_load": False})
        model, _ = load_model(shape, folder, config, Placement(dtype, torch.device("cpu")), 64, seed)
        return model

    return run


@pytest.fixture
def unfilled() -> Callable[..., CausalLM]:
    """The model with its parameters allocated only; `rank` of `size` tensor-parallel peers."""

    def run(folder: Path, rank: int = 0, size: int = 1) -> CausalLM:
        shape = ModelShape.read(folder, ModelConfig())
        place = Placement(torch.float32, torch.device("cpu"), rank, size)
        return model_class(shape.architecture)(shape, place, 64)

    return run


@pytest.fixture
def load_stage() -> Callable[..., CausalLM]:
    """One pipeline stage, filled but not packed."""

    def run(folder: Path, stage: int, num_stages: int) -> CausalLM:
        shape = ModelShape.read(folder, ModelConfig())
        place = Placement(torch.float32, torch.device("cpu"), stage=stage, num_stages=num_stages)
        model = model_class(shape.architecture)(shape, place, 64)
        options = LoadOptions(show_progress=False)
        fill_from_checkpoint(model, folder, options, shape, names_elsewhere(shape, place))
        return model

    return run
