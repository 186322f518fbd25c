"""Which architectures run natively, and where each one's class is. Torch-free: classes are imported when built."""

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, cast

from paddock.engine.models.errors import CheckpointError
from paddock.engine.models.family import Family
from paddock.engine.models.generic_shape import FAMILY as GENERIC

if TYPE_CHECKING:
    from paddock.engine.models.decoder_lm import DecoderLM

Implementation = Literal["auto", "terratorch", "transformers", "vllm"]
"""Of `--model-impl`; vllm is the engine's own code."""

CAUSAL_LM_ENDINGS = ("ForCausalLM", "GenerationDecoder", "ForConditionalGeneration", "LMHeadModel")

HERE = "paddock.engine.models"
GELU_TANH = ("gelu_pytorch_tanh", "gelu_new")

NATIVE_FAMILIES: dict[str, Family] = {
    "DeepseekV2ForCausalLM": Family(
        f"{HERE}.deepseek:DeepseekV2ForCausalLM",
        defaults={"first_k_dense_replace": 0, "n_shared_experts": 2},
        rounds_weights=False,
    ),
    "DeepseekV3ForCausalLM": Family(
        f"{HERE}.deepseek:DeepseekV3ForCausalLM",
        defaults={"first_k_dense_replace": 3, "n_shared_experts": 1},
        rounds_weights=False,
    ),
    "GPT2LMHeadModel": Family(
        f"{HERE}.gpt2:GPT2LMHeadModel",
        aliases={
            "hidden_size": ("n_embd",),
            "num_hidden_layers": ("n_layer",),
            "num_attention_heads": ("n_head",),
            "intermediate_size": ("n_inner",),
            "max_position_embeddings": ("n_positions",),
            "rms_norm_eps": ("layer_norm_epsilon",),
            "hidden_act": ("activation_function",),
        },
        defaults={"hidden_act": "gelu_new", "rms_norm_eps": 1e-5, "tie_word_embeddings": True},
        activations=(*GELU_TANH, "gelu", "relu"),
        base_prefix="transformer.",
        needs={"add_cross_attention": False},
    ),
    "Gemma2ForCausalLM": Family(
        f"{HERE}.gemma:Gemma2ForCausalLM",
        aliases={"hidden_act": ("hidden_activation",)},
        defaults={
            "hidden_act": "gelu_pytorch_tanh", "head_dim": 256, "tie_word_embeddings": True,
            "attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0, "sliding_window": 4096,
        },
        windows="layer types",
        full_layer_every=2,
        activations=GELU_TANH,
        needs={"use_bidirectional_attention": None},
    ),
    "Gemma3ForCausalLM": Family(
        f"{HERE}.gemma:Gemma3ForCausalLM",
        aliases={"hidden_act": ("hidden_activation",)},
        defaults={
            "hidden_act": "gelu_pytorch_tanh", "head_dim": 256, "tie_word_embeddings": True,
            "rope_theta": 1_000_000.0, "sliding_window": 4096,
        },
        windows="layer types",
        full_layer_every=6,
        activations=GELU_TANH,
        needs={"use_bidirectional_attention": False},
    ),
    "GptOssForCausalLM": Family(
        f"{HERE}.gpt_oss:GptOssForCausalLM",
        defaults={
            "attention_bias": True, "head_dim": 64, "rms_norm_eps": 1e-5, "sliding_window": 128,
            "num_local_experts": 128,
        },
        windows="layer types",
        full_layer_every=2,
        quantizations=("mxfp4",),
        rounds_weights=False,
    ),
    "LlamaForCausalLM": Family(f"{HERE}.llama:LlamaForCausalLM"),
    "MistralForCausalLM": Family(f"{HERE}.llama:LlamaForCausalLM", windows="every layer"),
    "MixtralForCausalLM": Family(
        f"{HERE}.mixtral:MixtralForCausalLM",
        defaults={"rms_norm_eps": 1e-5, "num_local_experts": 8},
        windows="every layer",
        rounds_weights=False,
    ),
    "OPTForCausalLM": Family(
        f"{HERE}.opt:OPTForCausalLM",
        aliases={"intermediate_size": ("ffn_dim",), "hidden_act": ("activation_function",)},
        defaults={"hidden_act": "relu", "rms_norm_eps": 1e-5, "tie_word_embeddings": True},
        activations=("relu", "gelu", *GELU_TANH),
        needs={"do_layer_norm_before": True, "_remove_final_layer_norm": False, "layer_norm_elementwise_affine": True},
    ),
    "Phi3ForCausalLM": Family(
        f"{HERE}.phi3:Phi3ForCausalLM",
        defaults={"rms_norm_eps": 1e-5},
        windows="every layer",
        partial_rotary=True,
    ),
    "Qwen2ForCausalLM": Family(f"{HERE}.qwen2:Qwen2ForCausalLM", windows="opt-in"),
    # Of these families Qwen3 alone assumes a head_dim other than hidden_size / heads.
    "Qwen3ForCausalLM": Family(
        f"{HERE}.qwen3:Qwen3ForCausalLM", defaults={"head_dim": 128}, windows="opt-in"
    ),
    "Qwen3MoeForCausalLM": Family(
        f"{HERE}.qwen3_moe:Qwen3MoeForCausalLM",
        aliases={"num_experts": ("num_local_experts",)},
        defaults={"num_experts": 128},
        windows="opt-in",
        rounds_weights=False,
    ),
}  # fmt: skip


def family_of(
    architecture: str, fields: Mapping[str, Any], source: str, implementation: Implementation = "auto"
) -> Family:
    """The family that runs a checkpoint of `architecture`: our own where there is one. Raises `CheckpointError`."""
    family = NATIVE_FAMILIES.get(architecture)
    unmet = None if family is None else family.unmet(fields)
    if implementation != "transformers" and family is not None and unmet is None:
        return family
    if implementation == "vllm":
        raise CheckpointError(_not_native(architecture, family, unmet, fields, source))
    if not architecture.endswith(CAUSAL_LM_ENDINGS):
        raise CheckpointError(
            f"{source}: architecture {architecture!r} is not supported; supported: "
            f"{', '.join(sorted(NATIVE_FAMILIES))}, and causal language models that transformers has (...ForCausalLM)."
        )
    return GENERIC


def _not_native(
    architecture: str, family: Family | None, unmet: str | None, fields: Mapping[str, Any], source: str
) -> str:
    if family is None or unmet is None:
        return (
            f"{source}: the engine has no code of its own for architecture {architecture!r}, only for "
            f"{', '.join(sorted(NATIVE_FAMILIES))}; use --model-impl auto."
        )
    return (
        f"{source}: {unmet} is {fields[unmet]!r}, and the engine's own {architecture} takes "
        f"{family.needs[unmet]!r} only; use --model-impl auto."
    )


def model_class(architecture: str) -> "type[DecoderLM]":
    module, _, name = NATIVE_FAMILIES[architecture].location.partition(":")
    return cast("type[DecoderLM]", getattr(import_module(module), name))
