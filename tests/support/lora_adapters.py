"""LoRA adapters as PEFT saves them, with random weights, and models that have them merged."""

import copy
import json
from collections.abc import Sequence
from math import sqrt
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers.pytorch_utils import Conv1D

CONFIG = {
    "peft_type": "LORA", "bias": "none", "lora_alpha": 12, "use_rslora": False, "use_dora": False,
    "modules_to_save": None, "rank_pattern": {}, "alpha_pattern": {}, "init_lora_weights": True,
    "lora_bias": False, "fan_in_fan_out": False, "task_type": "CAUSAL_LM",
}  # fmt: skip


def linear_names(model: Any, kinds: Sequence[str]) -> list[str]:
    """Of the linear layers whose last name is among `kinds`, with those of the decoder's layers alone."""
    return [
        name
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear | Conv1D) and name.rpartition(".")[2] in kinds
    ]


def matrix_shape(module: Any) -> tuple[int, int]:
    """(outputs, inputs), whichever way round the module keeps them."""
    shape = module.weight.shape
    return (shape[1], shape[0]) if isinstance(module, Conv1D) else (shape[0], shape[1])


def save_adapter(
    model: Any,
    path: Path,
    kinds: Sequence[str],
    *,
    rank: int = 4,
    seed: int = 0,
    **config: Any,
) -> Path:
    """An adapter of every linear layer of `kinds`, strong enough to change most tokens."""
    random = torch.Generator().manual_seed(seed)
    tensors = {}
    for name in linear_names(model, kinds):
        outputs, inputs = matrix_shape(model.get_submodule(name))
        for factor, size in (("A", (rank, inputs)), ("B", (outputs, rank))):
            tensor = 0.15 * torch.randn(size, generator=random)
            tensors[f"base_model.model.{name}.lora_{factor}.weight"] = tensor
    path.mkdir(parents=True)
    save_file(tensors, path / "adapter_model.safetensors")
    fields = CONFIG | {"r": rank, "target_modules": list(kinds)} | config
    (path / "adapter_config.json").write_text(json.dumps(fields))
    return path


def merged(model: Any, path: Path) -> Any:
    """A copy whose weights have grown by scale times B times A."""
    copied = copy.deepcopy(model)
    fields = json.loads((path / "adapter_config.json").read_text())
    scale = fields["lora_alpha"] / (sqrt(fields["r"]) if fields["use_rslora"] else fields["r"])
    tensors = load_file(path / "adapter_model.safetensors")
    for name in [key for key in tensors if key.endswith("lora_A.weight")]:
        module = copied.get_submodule(name.removeprefix("base_model.model.").removesuffix(".lora_A.weight"))
        growth = scale * tensors[name.replace("lora_A", "lora_B")] @ tensors[name]
        with torch.no_grad():
            module.weight += growth.T if isinstance(module, Conv1D) else growth
    return copied
