"""Mistral's own description of a model (params.json), put into Hugging Face's terms."""

from collections.abc import Mapping
from typing import Any

from paddock.engine.models.errors import CheckpointError

PARAMS_FILE = "params.json"

RENAMED = {
    "dim": "hidden_size",
    "n_layers": "num_hidden_layers",
    "hidden_dim": "intermediate_size",
    "n_heads": "num_attention_heads",
    "n_kv_heads": "num_key_value_heads",
    "head_dim": "head_dim",
    "norm_eps": "rms_norm_eps",
    "vocab_size": "vocab_size",
    "rope_theta": "rope_theta",
    "sliding_window": "sliding_window",
    "tied_embeddings": "tie_word_embeddings",
}
NEEDED = ("dim", "n_layers", "hidden_dim", "n_heads", "norm_eps", "vocab_size")
OTHER_MODELS = {
    "moe": "a mixture of experts",
    "quantization": "quantized",
    "vision_encoder": "a vision model",
    "multimodal": "a multimodal model",
    "q_lora_rank": "a model with latent attention",
    "ssm_cfg": "a state-space model",
}
DEFAULT_CONTEXT = 128_000
"""Files without max_position_embeddings or max_seq_len; what Mistral's own server takes then."""

BEGIN_ID, END_ID = 1, 2
"""params.json names no special tokens: they are the same in all of Mistral's vocabularies."""


def translate_params(params: Mapping[str, Any], source: str) -> dict[str, Any]:
    """config.json's keys for a dense text model. Raises `CheckpointError` for any other."""
    for key, what in OTHER_MODELS.items():
        if params.get(key):
            raise CheckpointError(
                f"{source}: {key} makes it {what}, which is not read from Mistral's own files; use the checkpoint in "
                "Hugging Face's format with --config-format hf."
            )
    missing = [key for key in NEEDED if key not in params]
    if missing:
        raise CheckpointError(
            f"{source}: lacks {', '.join(missing)}; it is no params.json of a Mistral model."
        )
    fields: dict[str, Any] = {
        "architectures": ["MistralForCausalLM"],
        "model_type": "mistral",
        "dtype": "bfloat16",
        "hidden_act": "silu",
        "bos_token_id": BEGIN_ID,
        "eos_token_id": END_ID,
        "max_position_embeddings": _context(params),
    }
    fields |= {RENAMED[key]: value for key, value in params.items() if key in RENAMED and value is not None}
    if params.get("yarn"):
        fields["rope_parameters"] = _yarn(params["yarn"], params.get("rope_theta", 10000.0), source)
    return fields


def _context(params: Mapping[str, Any]) -> Any:
    return params.get("max_position_embeddings") or params.get("max_seq_len") or DEFAULT_CONTEXT


def _yarn(yarn: Any, theta: Any, source: str) -> dict[str, Any]:
    """beta and alpha are the turns that Hugging Face calls beta_fast and beta_slow."""
    if not isinstance(yarn, Mapping):
        raise CheckpointError(f"{source}: yarn is {str(yarn)[:80]!r}; expected an object.")
    scaling = {
        "rope_type": "yarn",
        "rope_theta": theta,
        "factor": yarn.get("factor"),
        "original_max_position_embeddings": yarn.get("original_max_position_embeddings"),
        "beta_fast": yarn.get("beta"),
        "beta_slow": yarn.get("alpha"),
        "attention_factor": None if yarn.get("apply_scale", True) else 1.0,
    }
    return {key: value for key, value in scaling.items() if value is not None}
