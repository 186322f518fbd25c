"""Tiny random models of every causal-LM family that the installed transformers has."""

import inspect
from typing import Any

import torch
import transformers
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

VOCAB = 101

SIZES: dict[str, Any] = {
    "vocab_size": VOCAB,
    "hidden_size": 32,
    "intermediate_size": 48,
    "ffn_dim": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 256,
    "sliding_window": 16,
    "moe_intermediate_size": 24,
    "num_experts": 6,
    "num_local_experts": 6,
    "n_routed_experts": 8,
    "num_experts_per_tok": 2,
    "n_group": 2,
    "topk_group": 1,
    "q_lora_rank": 16,
    "kv_lora_rank": 12,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 8,
    "v_head_dim": 8,
    "first_k_dense_replace": 1,
    "eos_token_id": None,
    "bos_token_id": None,
    "pad_token_id": None,
}


def families() -> list[str]:
    """Model types with a causal LM that declares support for custom attention."""
    return [kind for kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES if declares_support(kind)]


def model_class(kind: str) -> Any:
    name = MODEL_FOR_CAUSAL_LM_MAPPING_NAMES[kind]
    return getattr(transformers, name if isinstance(name, str) else name[0])


def declares_support(kind: str) -> bool:
    return bool(getattr(model_class(kind), "_supports_attention_backend", False))


def tiny_config(kind: str) -> Any:
    config_class = CONFIG_MAPPING[kind]
    special = SPECIAL.get(kind, {})
    if kind in COMPOSITE:
        text_kind = COMPOSITE[kind]
        parts = {f"{part}_config": values for part, values in SMALL_PARTS.get(kind, {}).items()}
        text = (
            tiny_config(text_kind).to_dict()
            if text_kind
            else fitting(config_class.sub_configs["text_config"])
        )
        pad = {"pad_token_id": special["pad_token_id"]} if "pad_token_id" in special else {}
        return config_class(text_config=text | special, **parts, **pad)
    return config_class(**fitting(config_class) | special)


def fitting(config_class: Any) -> dict[str, Any]:
    """Those of `SIZES` that the class knows."""
    known = set(inspect.signature(config_class.__init__).parameters) | set(config_class.attribute_map)
    for base in config_class.__mro__:
        known |= set(getattr(base, "__annotations__", {}))
    return {name: value for name, value in SIZES.items() if name in known}


COMPOSITE = {
    "dots3_note": "dots3_note_text", "emu3": None, "fuyu": "persimmon", "gemma3": "gemma3_text",
    "gemma4": "gemma4_text", "gemma4_unified": "gemma4_unified_text", "got_ocr2": "qwen2",
    "llama4": "llama4_text", "moss_transcribe_diarize": "qwen3", "mllama": None,
}  # fmt: skip
"""Models with text and other parts: the type of the text part, None for the class's own."""

VISION = {
    "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
    "image_size": 28, "patch_size": 14, "output_channels": 32, "vision_output_dim": 32,
    "projector_input_dim": 32, "projector_output_dim": 32,
}  # fmt: skip

SMALL_PARTS: dict[str, dict[str, Any]] = {
    "gemma3": {"vision": VISION},
    "gemma4": {"vision": None, "audio": None},
    "gemma4_unified": {"vision": None, "audio": None},
    "moss_transcribe_diarize": {
        "audio": {
            "d_model": 32,
            "encoder_layers": 1,
            "encoder_attention_heads": 2,
            "encoder_ffn_dim": 32,
            "decoder_layers": 1,
            "decoder_ffn_dim": 32,
            "decoder_attention_heads": 2,
        }
    },
    "got_ocr2": {"vision": VISION | {"global_attn_indexes": [0], "window_size": 2, "mlp_dim": 32}},
    "llama4": {"vision": VISION},
    "emu3": {
        "vq": {
            "base_channels": 32,
            "embed_dim": 4,
            "channel_multiplier": [1],
            "num_res_blocks": 1,
            "attn_resolutions": [],
        }
    },
}

DECODER_BERTS = (
    "bert", "bert-generation", "camembert", "data2vec-text", "electra", "ernie", "roberta", "roberta-prelayernorm",
    "roc_bert", "xlm-roberta", "xlm-roberta-xl", "xmod",
)  # fmt: skip
FULL_HEADS = (
    "axk1", "deepseek_v2", "deepseek_v3", "glm4_moe_lite", "longcat_flash", "minicpm3", "youtu", "dots3_note_text",
)  # fmt: skip

SPECIAL: dict[str, dict[str, Any]] = {
    **{kind: {"is_decoder": True, "pad_token_id": 1} for kind in DECODER_BERTS},
    **{kind: {"num_key_value_heads": 4} for kind in FULL_HEADS},
    "cohere_compass_text": {"layer_types": ["full_attention"] * 3, "rope_parameters": {"full_attention": {"rope_type": "default", "rope_theta": 1e4}}},
    "cwm": {"bos_token_id": 1, "eos_token_id": 2},
    "dbrx": {"d_model": 32, "n_heads": 4, "n_layers": 2, "max_seq_len": 256, "attn_config": {"kv_n_heads": 2, "rope_theta": 1e4, "clip_qkv": 8}},
    "dots1": {"n_shared_experts": 1},
    "dots3_note_text": {
        "num_key_value_heads": 4, "head_dim": 16, "index_topk": 4, "index_head_dim": 16, "index_n_heads": 2,
        "shared_experts_intermediate_size": 16, "layer_types": ["sliding_attention"] * 3,
    },
    "gemma3n_text": {"num_kv_shared_layers": 0, "vocab_size_per_layer_input": VOCAB, "hidden_size_per_layer_input": 8},
    "gemma4_text": {"vocab_size_per_layer_input": VOCAB, "hidden_size_per_layer_input": 8, "global_head_dim": 16},
    "gemma4_assistant": {"hidden_size_per_layer_input": 0},
    "granitemoehybrid": {"layer_types": ["full_attention"] * 3, "mamba_n_heads": 4},
    "lfm2_moe": {"layer_types": ["full_attention"] * 3},
    "emu3": {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2},
    **{kind: {"pad_token_id": 0} for kind in ("gemma4", "gemma4_unified", "mllama", "llama4")},
    "mllama": {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2},
    "xmod": {"is_decoder": True, "pad_token_id": 1, "languages": ["en_XX"], "default_language": "en_XX"},
    "modernbert-decoder": {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 1},
    "phi4_multimodal": {"vision_config": VISION | {"crop_size": 28}, "audio_config": {"hidden_size": 32, "num_blocks": 1, "intermediate_size": 32, "num_attention_heads": 2}},
    "zaya": {"num_experts_per_tok": 1, "sliding_window": None},
}  # fmt: skip


ATTENTION_KINDS = "it has layers of type"
OWN_WAY = "over the paged cache its logits differ"
STATE = "it keeps recurrent state"

REFUSED = {
    **dict.fromkeys(("axk2", "deepseek_v32", "glm_moe_dsa", "hy_v4"), f"{ATTENTION_KINDS} indexed_attention"),
    "lfm3": f"{ATTENTION_KINDS} conv",
    "llama4_text": f"{ATTENTION_KINDS} chunked_attention",
    "moshi": "its configuration states a sliding window of 16 that its masks do not have",
    "minimax": f"{ATTENTION_KINDS} linear_attention",
    **dict.fromkeys(("deepseek_v4", "granitemoehybrid", "zaya"), STATE),
    **dict.fromkeys(
        (
            "camembert",
            "data2vec-text",
            "roberta",
            "roberta-prelayernorm",
            "xlm-roberta",
            "xlm-roberta-xl",
            "xmod",
        ),
        OWN_WAY,
    ),
    "recurrent_gemma": "max_position_embeddings is None",
    "doge": "it makes attention masks of its own",
    "gemma4_unified": "its attention mask depends on what the tokens are",
}
"""Families that declare support for custom attention and still need something else, and what is said of it."""

BROKEN = {
    "dots3_note": "its parts ask for a size that is not tiny",
    "dots3_note_text": "a layer of it has a fixed width of 10,000s",
    **dict.fromkeys(
        ("emu3", "llama4"), "transformers cannot build it as a causal LM: vocab_size is in a part only"
    ),
    "gemma3n": "its vision part needs a package that is not installed",
    "gemma4_assistant": "a drafter: it reads another model's keys and values",
    "gemma4_unified_assistant": "a drafter: it reads another model's keys and values",
}
"""Families of which no tiny model can be made here, and why."""


def tiny_model(kind: str) -> Any:
    torch.manual_seed(0)
    config = tiny_config(kind)
    with torch.device("meta"):
        size = sum(parameter.numel() for parameter in model_class(kind)._from_config(config).parameters())
    assert size < 20_000_000, f"{kind}: {size} parameters are not tiny"
    model = model_class(kind)._from_config(config, dtype=torch.float32)
    for name, parameter in model.named_parameters():
        if parameter.dim() >= 2:
            is_embedding = any(word in name for word in ("embed", "wte", "wpe"))
            torch.nn.init.normal_(parameter, std=1.0 if is_embedding else 0.2)
        elif "norm" in name and name.endswith("weight"):
            torch.nn.init.uniform_(parameter, 0.7, 1.3)
    return model.eval()
