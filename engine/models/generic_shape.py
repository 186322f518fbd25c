"""The shape of a model whose family we do not know: what transformers will build is seen only once it is built.

What is read here sizes the engine (vocabulary, context) and bounds the activations; heads and layers of the cache
are the built model's own.
"""

from collections.abc import Mapping
from typing import Any

from paddock.engine.models.family import Family

FAMILY = Family(
    "paddock.engine.models.transformers_backend.load:load_with_transformers",
    aliases={
        "hidden_size": ("n_embd", "d_model", "dim", "model_dim"),
        "intermediate_size": ("n_inner", "ffn_dim", "d_ff", "ffn_hidden_size", "moe_intermediate_size"),
        "num_hidden_layers": ("n_layer", "n_layers", "num_layers", "num_transformer_layers"),
        "num_attention_heads": ("n_head", "n_heads", "num_heads", "num_query_heads"),
        "num_key_value_heads": ("num_kv_heads", "n_head_kv"),
        "max_position_embeddings": (
            "n_positions",
            "max_seq_len",
            "seq_length",
            "n_ctx",
            "max_sequence_length",
        ),
    },
    activations=(),
)


def generic_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The keys that every shape needs, from config.json or its text part; lists (one entry a layer) by their largest."""
    text = fields.get("text_config")
    found = FAMILY.canonical({**text, **fields} if isinstance(text, Mapping) else fields)
    result = {name: _largest(found.get(name)) for name in FAMILY.aliases}
    result |= {name: found.get(name) for name in KEPT}
    result["num_attention_heads"] = result["num_attention_heads"] or 1
    result["num_key_value_heads"] = None
    result["num_hidden_layers"] = result["num_hidden_layers"] or 1
    return result


KEPT = (
    "vocab_size", "head_dim", "dtype", "torch_dtype", "tie_word_embeddings", "bos_token_id", "eos_token_id",
    "quantization_config",
)  # fmt: skip


def _largest(value: Any) -> Any:
    return (
        max(value)
        if isinstance(value, list) and value and all(type(item) is int for item in value)
        else value
    )
