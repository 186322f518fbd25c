"""adapter_config.json, as PEFT writes it: the scale of an adapter, or why it cannot be served. Torch-free."""

import json
from collections.abc import Mapping
from math import sqrt
from pathlib import Path
from typing import Any

from paddock.engine.lora.adapter import AdapterError

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"
PICKLED_FILE = "adapter_model.bin"

REFUSED: Mapping[str, str] = {
    "use_dora": "DoRA's magnitudes are not applied",
    "use_qalora": "QALoRA's pooled inputs are not applied",
    "lora_bias": "biases of adapters are not applied",
    "modules_to_save": "modules that were trained whole are not replaced",
    "trainable_token_indices": "embeddings of tokens are not replaced",
    "rank_pattern": "all modules must have the same rank",
    "alpha_pattern": "all modules must have the same scale",
    "layer_replication": "the model's layers are not replicated",
    "megatron_config": "Megatron's layers are laid out otherwise",
    "alora_invocation_tokens": "an adapter holds for all of a prompt",
}
"""Keys that must be false, empty or absent."""

PLAIN_STARTS = (True, False, "gaussian", "orthogonal", "eva")
"""Values of init_lora_weights that leave the base model's weights as they are published."""


def read_scale(folder: Path, max_rank: int) -> tuple[int, float]:
    """The rank, and the number that B times A is multiplied by. Raises `AdapterError`."""
    source = folder / CONFIG_FILE
    fields = _read(source)
    _refuse_other_kinds(fields, source)
    rank, alpha = fields.get("r"), fields.get("lora_alpha")
    if not isinstance(rank, int) or isinstance(rank, bool) or rank < 1:
        raise AdapterError(f"{source}: r is {rank!r}; expected a whole number of at least 1.")
    if rank > max_rank:
        raise AdapterError(
            f"{source}: r is {rank}, and --max-lora-rank allows {max_rank}; start the server with --max-lora-rank {rank}."
        )
    if not isinstance(alpha, int | float) or isinstance(alpha, bool):
        raise AdapterError(f"{source}: lora_alpha is {alpha!r}; expected a number.")
    # Kalajdzievski 2023, "A Rank Stabilization Scaling Factor for Fine-Tuning with LoRA".
    return rank, alpha / (sqrt(rank) if fields.get("use_rslora") else rank)


def _read(source: Path) -> dict[str, Any]:
    try:
        fields = json.loads(source.read_text())
    except FileNotFoundError:
        raise AdapterError(
            f"{source.parent}: there is no {CONFIG_FILE}; name a folder that holds an adapter as PEFT saves it."
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise AdapterError(f"{source}: cannot be read ({error}).") from None
    if not isinstance(fields, dict):
        raise AdapterError(f"{source}: holds no JSON object.")
    return fields


def _refuse_other_kinds(fields: Mapping[str, Any], source: Path) -> None:
    kind = fields.get("peft_type")
    if kind != "LORA":
        raise AdapterError(f"{source}: peft_type is {kind!r}; only 'LORA' is served.")
    bias = fields.get("bias", "none")
    if bias != "none":
        raise AdapterError(
            f"{source}: bias is {bias!r}; biases of adapters are not applied: train with 'none'."
        )
    for name, reason in REFUSED.items():
        if fields.get(name):
            raise AdapterError(
                f"{source}: {name} is {str(fields[name])[:80]}; {reason}: train without it, or merge the adapter "
                "into its model."
            )
    start = fields.get("init_lora_weights", True)
    if start not in PLAIN_STARTS:
        raise AdapterError(
            f"{source}: init_lora_weights is {start!r}, which changed the base model's weights; convert the adapter "
            "to one of the unchanged model (PEFT: save_pretrained with path_initial_model_for_weight_conversion)."
        )
