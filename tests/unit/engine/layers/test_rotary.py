"""Rotary tables are those of transformers, for every supported kind."""

import pytest
import torch
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

from paddock.engine.layers.rotary import RotaryTable
from paddock.engine.models.rope import RopeShape

KINDS = {
    "default": {"rope_type": "default", "rope_theta": 500000.0},
    "linear": {"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0},
    "llama3": {
        "rope_type": "llama3",
        "rope_theta": 500000.0,
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    },
}


@pytest.mark.parametrize("kind", list(KINDS))
def test_cosines_and_sines_are_those_of_transformers(kind):
    config = LlamaConfig(hidden_size=512, num_attention_heads=4, rope_parameters=KINDS[kind])
    positions = torch.tensor([0, 1, 17, 4095, 20000])
    cos, sin = LlamaRotaryEmbedding(config)(torch.zeros(1), positions[None])

    table = RotaryTable(RopeShape.read(config.to_dict(), "config.json"), 128, 20001, torch.device("cpu"))

    ours = table.at(positions)
    torch.testing.assert_close(ours[0], cos[0, :, :64], atol=2e-5, rtol=0)
    torch.testing.assert_close(ours[1], sin[0, :, :64], atol=2e-5, rtol=0)
