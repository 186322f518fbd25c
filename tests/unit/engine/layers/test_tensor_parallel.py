"""Shards on two ranks compute together what one rank computes: real collectives, over gloo on loopback."""

import sys
from pathlib import Path
from subprocess import PIPE, Popen

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, Qwen2Config, Qwen3Config

SIZES = {
    "vocab_size": 67,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
}
CONFIGS = {
    "llama-bias": LlamaConfig(**SIZES, num_key_value_heads=2, attention_bias=True, mlp_bias=True),
    "qwen2-tied": Qwen2Config(**SIZES, num_key_value_heads=2, tie_word_embeddings=True),
    "qwen3-one-kv-head": Qwen3Config(**SIZES, num_key_value_heads=1, head_dim=8),
}
RANK = """
import sys
from pathlib import Path
import torch, torch.distributed as dist
from paddock.engine.config import LoadConfig, ModelConfig
from paddock.engine.layers.placement import Placement
from paddock.engine.models.shape import ModelShape
from paddock.engine.weights.loader import load_model
from paddock.kernels import AttentionMetadata

folder, rank = Path(sys.argv[1]), int(sys.argv[2])
torch.set_num_threads(1)
dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
place = Placement(torch.float32, torch.device("cpu"), rank, 2, dist.group.WORLD)
shape = ModelShape.read(folder, ModelConfig())
model, _ = load_model(shape, folder, LoadConfig(), place, 64, 0)
size = (4, model.num_kv_heads, 16, shape.head_dim)
model.bind_cache([(torch.zeros(size), torch.zeros(size)) for _ in range(shape.num_layers)])
tokens = torch.arange(20) * 3
with torch.inference_mode():
    hidden = model(tokens, torch.arange(20), AttentionMetadata.build([20], [20], [[2, 1]], 16))
    torch.save(model.logits(hidden), folder / f"logits-{rank}.pt")
dist.destroy_process_group()
"""


@pytest.mark.parametrize("name", list(CONFIGS))
def test_two_ranks_give_the_logits_of_one(tmp_path: Path, name: str) -> None:
    torch.manual_seed(1)
    oracle = AutoModelForCausalLM.from_config(CONFIGS[name], dtype=torch.float32).eval()
    oracle.save_pretrained(tmp_path)

    ranks = [
        Popen([sys.executable, "-c", RANK, str(tmp_path), str(rank)], stderr=PIPE, text=True)
        for rank in (0, 1)
    ]
    errors = [rank.communicate(timeout=240)[1] for rank in ranks]

    assert [rank.returncode for rank in ranks] == [0, 0], errors
    with torch.inference_mode():
        expected = oracle((torch.arange(20) * 3)[None]).logits[0]
    for rank in (0, 1):
        torch.testing.assert_close(torch.load(tmp_path / f"logits-{rank}.pt"), expected, atol=1e-4, rtol=1e-4)
