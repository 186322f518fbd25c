"""The shape of a decoder too small to be real, for tests that only do sums with it."""

from typing import Any

from paddock.engine.models.rope import RopeShape
from paddock.engine.models.shape import ModelShape


def model_shape(**changes: Any) -> ModelShape:
    """Three layers of four heads over a vocabulary of 50, in float32, with `changes`."""
    shape: dict[str, Any] = {
        "architecture": "Qwen3ForCausalLM",
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_layers": 3,
        "num_heads": 4,
        "num_kv_heads": 2,
        "head_dim": 8,
        "vocab_size": 50,
        "max_position_embeddings": 64,
        "rms_norm_eps": 1e-6,
        "rope": RopeShape(10000.0),
        "layer_windows": (None,) * 3,
        "attention_bias": False,
        "mlp_bias": False,
        "tie_embeddings": True,
        "torch_dtype": "float32",
        "bos_token_id": None,
        "eos_token_ids": (),
    }
    return ModelShape(**shape | changes)
