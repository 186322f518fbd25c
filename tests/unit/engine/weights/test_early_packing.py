"""Linear layers that become codes while a checkpoint is read: the plain model is never in memory as a whole."""

import weakref
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from paddock.engine.config.load import LoadConfig
from paddock.engine.config.model import ModelConfig
from paddock.engine.layers.placement import Placement
from paddock.engine.models.causal_lm import CausalLM
from paddock.engine.models.shape import ModelShape
from paddock.engine.weights import loader
from paddock.engine.weights.linear_layers import linear_layers
from paddock.engine.weights.target import WeightTarget

LAYERS = 4


class Watched(loader.EarlyPacking):
    """Counts the plain weights that are in memory whenever a tensor has been read."""

    alive: list[int]

    def __init__(self, model: CausalLM, targets: Sequence[WeightTarget]) -> None:
        super().__init__(model, targets)
        weights = [layer.weight for layer in linear_layers(model)]
        self._plain = [weakref.ref(weight) for weight in weights if weight is not None]

    def filled(self, destination: torch.Tensor) -> None:
        super().filled(destination)
        self.alive.append(sum(plain() is not None for plain in self._plain))


def test_a_plain_weight_is_let_go_before_the_next_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = Qwen3Config(
        vocab_size=67, hidden_size=64, intermediate_size=128, num_hidden_layers=LAYERS, num_attention_heads=4,
        num_key_value_heads=2, head_dim=32,
    )  # fmt: skip
    Qwen3ForCausalLM._from_config(config, dtype=torch.float32).save_pretrained(tmp_path)
    Watched.alive = []
    monkeypatch.setattr(loader, "EarlyPacking", Watched)
    shape = ModelShape.read(tmp_path, ModelConfig(quantization="int4"))

    loader.load_model(
        shape,
        tmp_path,
        LoadConfig(use_tqdm_on_load=False),
        Placement(torch.float32, torch.device("cpu")),
        64,
        0,
    )

    assert Watched.alive == sorted(Watched.alive, reverse=True)
    assert set(Watched.alive) == set(range(4 * LAYERS + 1))
