"""Which architectures run natively, and where each one's class is. Torch-free: classes are imported when built."""

from importlib import import_module
from typing import TYPE_CHECKING, cast

from paddock.engine.models.errors import CheckpointError

if TYPE_CHECKING:
    from paddock.engine.models.causal_lm import CausalLM

NATIVE_ARCHITECTURES: dict[str, str] = {
    "LlamaForCausalLM": "paddock.engine.models.llama:LlamaForCausalLM",
    "MistralForCausalLM": "paddock.engine.models.llama:LlamaForCausalLM",
    "Qwen2ForCausalLM": "paddock.engine.models.qwen2:Qwen2ForCausalLM",
    "Qwen3ForCausalLM": "paddock.engine.models.qwen3:Qwen3ForCausalLM",
}


def check_supported(architecture: str, source: str) -> None:
    """Raises `CheckpointError` listing the supported architectures."""
    if architecture not in NATIVE_ARCHITECTURES:
        raise CheckpointError(
            f"{source}: architecture {architecture!r} is not supported; supported: "
            f"{', '.join(sorted(NATIVE_ARCHITECTURES))}."
        )


def model_class(architecture: str) -> "type[CausalLM]":
    module, _, name = NATIVE_ARCHITECTURES[architecture].partition(":")
    return cast("type[CausalLM]", getattr(import_module(module), name))
