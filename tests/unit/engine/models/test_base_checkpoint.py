"""GPT-2 as its first checkpoints store it: names without a prefix, and the causal mask beside the weights."""

import torch
from model_families import make_model
from safetensors.torch import load_file, save_file

from paddock.engine.config import LoadConfig, ModelConfig
from paddock.engine.layers.placement import Placement
from paddock.engine.models.shape import ModelShape
from paddock.engine.weights.loader import load_model
from paddock.kernels import AttentionMetadata


def test_a_checkpoint_of_the_base_model_gives_the_same_logits(tmp_path):
    oracle = make_model("gpt2")
    oracle.save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    tensors = {name.removeprefix("transformer."): tensor for name, tensor in load_file(file).items()}
    tensors["h.0.attn.bias"] = torch.ones(1, 1, 512, 512).tril()
    save_file(tensors, file, metadata={"format": "pt"})
    ids = torch.arange(12) * 5

    shape, place = ModelShape.read(tmp_path, ModelConfig()), Placement(torch.float32, torch.device("cpu"))
    model, _ = load_model(shape, tmp_path, LoadConfig(use_tqdm_on_load=False), place, 64, 0)
    model.bind_cache([(torch.zeros(1, 4, 16, 16), torch.zeros(1, 4, 16, 16)) for _ in range(3)])

    with torch.inference_mode():
        hidden = model(ids, torch.arange(12), AttentionMetadata.build([12], [12], [[0]], 16))
        torch.testing.assert_close(model.logits(hidden), oracle(ids[None]).logits[0], atol=1e-4, rtol=1e-4)
