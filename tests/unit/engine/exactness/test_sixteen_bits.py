"""In 16 bits the logits are as near to those of float32 as transformers' own in the same type."""

import pytest
import torch
from model_families import make_model

from paddock.engine.config import LoadConfig
from paddock.engine.layers.placement import Placement
from paddock.engine.weights.loader import load_model
from paddock.kernels import AttentionMetadata

FAMILIES = [
    "deepseek-v3", "gemma2", "gemma3", "gpt-oss-mxfp4", "gpt2", "llama", "mixtral", "opt", "phi3", "qwen3-moe",
]  # fmt: skip
IDS = (torch.arange(40) * 7) % 211
MARGIN = 1.6
"""Of our error over theirs, both relative to the norm of the float32 logits."""


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("name", FAMILIES)
@torch.inference_mode()
def test_the_error_is_that_of_the_type(checkpoint_of, name, dtype):
    checkpoint = checkpoint_of(name)
    exact = checkpoint.logits(IDS.tolist())
    theirs = copy_of(checkpoint.oracle, name).to(dtype)(IDS[None]).logits[0].float()

    ours = logits_in(checkpoint, dtype)

    assert (ours - exact).norm() <= MARGIN * (theirs - exact).norm() + 1e-3 * exact.norm()


def copy_of(oracle, name):
    other = make_model(name)
    other.load_state_dict(oracle.state_dict())
    return other


def logits_in(checkpoint, dtype):
    place = Placement(dtype, torch.device("cpu"))
    model, _ = load_model(
        checkpoint.shape(), checkpoint.path, LoadConfig(use_tqdm_on_load=False), place, 64, 0
    )
    size = (4, model.num_kv_heads, 16, model.head_dim)
    keys = [torch.zeros(size, dtype=dtype) for _ in range(model.num_cache_layers)]
    values = [torch.zeros(size, dtype=dtype) for _ in keys] if model.keeps_values else keys
    model.bind_cache(list(zip(keys, values, strict=True)))
    metadata = AttentionMetadata.build([40], [40], [[2, 1, 0]], 16)
    return model.logits(model(IDS, torch.arange(40), metadata))
