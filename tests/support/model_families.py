"""Random checkpoints of every native family, small and with peaked logits."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForCausalLM,
    DeepseekV2Config,
    DeepseekV3Config,
    Gemma2Config,
    Gemma3TextConfig,
    GPT2Config,
    GptOssConfig,
    LlamaConfig,
    MistralConfig,
    MixtralConfig,
    OPTConfig,
    Phi3Config,
    Qwen2Config,
    Qwen3Config,
    Qwen3MoeConfig,
)
from transformers.integrations.mxfp4 import convert_moe_packed_tensors

VOCAB = 211
ENDLESS: dict[str, Any] = {"eos_token_id": None, "bos_token_id": None, "pad_token_id": None}
BASE: dict[str, Any] = {
    "vocab_size": VOCAB,
    "hidden_size": 64,
    "intermediate_size": 112,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    **ENDLESS,
}
DEEPSEEK = BASE | {
    "num_key_value_heads": 4, "n_routed_experts": 8, "num_experts_per_tok": 2, "n_group": 4, "topk_group": 2,
    "n_shared_experts": 2, "moe_intermediate_size": 24, "kv_lora_rank": 24, "qk_nope_head_dim": 12,
    "qk_rope_head_dim": 8, "v_head_dim": 16,
}  # fmt: skip
LLAMA3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
CONFIGS = {
    "llama": lambda: LlamaConfig(**BASE),
    "llama-tied-llama3-rope": lambda: LlamaConfig(
        **BASE, tie_word_embeddings=True, rope_parameters=LLAMA3_ROPE, attention_bias=True, mlp_bias=True
    ),
    "llama-linear-rope": lambda: LlamaConfig(
        **BASE, rope_parameters={"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0}
    ),
    "mistral-window": lambda: MistralConfig(**BASE, sliding_window=24),
    "qwen2": lambda: Qwen2Config(**BASE),
    "qwen2-window-tied": lambda: Qwen2Config(
        **BASE, tie_word_embeddings=True, use_sliding_window=True, sliding_window=20, max_window_layers=1
    ),
    "gemma2": lambda: Gemma2Config(
        **BASE, head_dim=16, query_pre_attn_scalar=24, sliding_window=20, attn_logit_softcapping=3.0,
        final_logit_softcapping=5.0,
    ),
    "gemma3": lambda: Gemma3TextConfig(
        **BASE | {"num_hidden_layers": 4}, head_dim=16, query_pre_attn_scalar=24, sliding_window=20,
        sliding_window_pattern=3, rope_parameters={
            "full_attention": {"rope_type": "linear", "rope_theta": 1000.0, "factor": 8.0},
            "sliding_attention": {"rope_type": "default", "rope_theta": 100.0},
        },
    ),
    "deepseek-v2": lambda: DeepseekV2Config(
        **DEEPSEEK, topk_method="group_limited_greedy", first_k_dense_replace=1, q_lora_rank=None,
    ),
    "deepseek-v2-greedy": lambda: DeepseekV2Config(**DEEPSEEK, q_lora_rank=24),
    "deepseek-v3": lambda: DeepseekV3Config(**DEEPSEEK, q_lora_rank=24, first_k_dense_replace=1, attention_bias=True),
    "deepseek-v3-yarn": lambda: DeepseekV3Config(
        **DEEPSEEK, q_lora_rank=24, first_k_dense_replace=0, rope_interleave=False, rope_parameters={
            "rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 32,
            "beta_fast": 32, "beta_slow": 1, "mscale": 1.0, "mscale_all_dim": 1.0,
        },
    ),
    "gpt-oss": lambda: GptOssConfig(
        **BASE, head_dim=16, num_local_experts=5, num_experts_per_tok=2, sliding_window=20,
        rope_parameters={
            "rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 32,
            "beta_fast": 32.0, "beta_slow": 1.0, "truncate": False,
        },
    ),
    "gpt-oss-mxfp4": lambda: GptOssConfig(
        **BASE | {"intermediate_size": 64}, head_dim=16, num_local_experts=3, num_experts_per_tok=2, sliding_window=20,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
    ),
    "gpt2": lambda: GPT2Config(
        vocab_size=VOCAB, n_embd=64, n_layer=3, n_head=4, n_positions=512, n_inner=112, **ENDLESS
    ),
    "gpt2-scaled-by-layer": lambda: GPT2Config(
        vocab_size=VOCAB, n_embd=64, n_layer=3, n_head=4, n_positions=512, scale_attn_by_inverse_layer_idx=True,
        scale_attn_weights=False, activation_function="relu", **ENDLESS,
    ),
    "mixtral": lambda: MixtralConfig(**BASE, num_local_experts=5, num_experts_per_tok=2, sliding_window=30),
    "opt": lambda: OPTConfig(
        vocab_size=VOCAB, hidden_size=64, ffn_dim=112, num_hidden_layers=3, num_attention_heads=4,
        word_embed_proj_dim=64, max_position_embeddings=512, **ENDLESS,
    ),
    "opt-no-bias": lambda: OPTConfig(
        vocab_size=VOCAB, hidden_size=64, ffn_dim=112, num_hidden_layers=3, num_attention_heads=4,
        word_embed_proj_dim=64, max_position_embeddings=512, enable_bias=False, activation_function="gelu",
        **ENDLESS,
    ),
    "phi3": lambda: Phi3Config(**BASE, sliding_window=24),
    "phi4-partial-longrope": lambda: Phi3Config(
        **BASE, original_max_position_embeddings=512, rope_parameters={
            "rope_type": "longrope", "rope_theta": 10000.0, "partial_rotary_factor": 0.75,
            "short_factor": [1.0, 1.1, 1.3, 1.7, 2.2, 3.0], "long_factor": [2.0, 2.1, 2.3, 2.7, 3.2, 4.0],
        },
    ),
    "qwen3-moe": lambda: Qwen3MoeConfig(
        **BASE, head_dim=16, num_experts=7, num_experts_per_tok=3, moe_intermediate_size=24, norm_topk_prob=True,
        mlp_only_layers=[1],
    ),
    "qwen3": lambda: Qwen3Config(**BASE, head_dim=32),
    "qwen3-one-kv-head": lambda: Qwen3Config(**BASE | {"num_key_value_heads": 1}, head_dim=16),
    "qwen3-tied-bias": lambda: Qwen3Config(
        **BASE, head_dim=16, tie_word_embeddings=True, attention_bias=True
    ),
}  # fmt: skip

VARIANTS = (
    "deepseek-v2-greedy", "deepseek-v3-yarn", "gpt-oss", "gpt2-scaled-by-layer", "opt-no-bias",
    "phi4-partial-longrope", "qwen3-one-kv-head",
)  # fmt: skip
"""Configurations that add nothing to their family but a branch of its own file."""


def make_model(name: str) -> Any:
    """The family's model, with random weights."""
    return peaked_model(CONFIGS[name](), len(name))


def peaked_model(config: Any, seed: int) -> Any:
    """Weights wide enough that logits are peaked: near-ties would make greedy tests a matter of rounding."""
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    for parameter_name, parameter in model.named_parameters():
        if parameter.dim() >= 2:
            is_embedding = any(word in parameter_name for word in ("embed", "wte", "wpe"))
            torch.nn.init.normal_(parameter, std=1.0 if is_embedding else 0.2)
        elif "norm" in parameter_name:
            torch.nn.init.uniform_(parameter, 0.7, 1.3)
        else:
            torch.nn.init.normal_(parameter, std=0.3)
    return model.eval()


def save_model(name: str, model: Any, path: Path) -> None:
    """As its authors publish it: GPT-OSS with experts in MXFP4, whose values the model takes over."""
    packed = pack_experts(model) if name.endswith("mxfp4") else {}
    model.save_pretrained(path)
    if packed:
        file = path / "model.safetensors"
        plain = {key: value for key, value in load_file(file).items() if not key.endswith("_proj")}
        save_file(plain | packed, file, metadata={"format": "pt"})
        config = json.loads((path / "config.json").read_text())
        config["quantization_config"] = {"quant_method": "mxfp4"}
        (path / "config.json").write_text(json.dumps(config))


def pack_experts(model: Any) -> dict[str, torch.Tensor]:
    """Random blocks and scales for every expert; transformers' own code says what they are worth."""
    packed: dict[str, torch.Tensor] = {}
    for name, parameter in model.named_parameters():
        if name.endswith(("experts.gate_up_proj", "experts.down_proj")):
            experts, inputs, outputs = parameter.shape
            blocks = torch.randint(0, 256, (experts, outputs, inputs // 32, 16), dtype=torch.uint8)
            scales = torch.randint(121, 126, blocks.shape[:3], dtype=torch.uint8)
            parameter.data = convert_moe_packed_tensors(blocks, scales, dtype=torch.float32)
            packed |= {f"{name}_blocks": blocks, f"{name}_scales": scales}
    return packed
