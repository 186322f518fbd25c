"""adapter_model.safetensors: the two factors of each module that an adapter changes."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from paddock.engine.lora.adapter import AdapterError
from paddock.engine.lora.config_file import PICKLED_FILE, WEIGHTS_FILE, read_scale
from paddock.engine.models.errors import CheckpointError
from paddock.engine.weights.safetensors_file import WholeSafetensors

_FACTOR = re.compile(r"base_model\.model\.(?P<module>.+)\.lora_(?P<factor>[AB])\.weight")

Shapes = Mapping[str, tuple[int, int]]
"""(outputs, inputs) of each module that adapters may change, by its name in the checkpoint."""


@dataclass(frozen=True, slots=True)
class Factors:
    """The module's weight is to grow by B times A."""

    down: torch.Tensor
    """A, `[rank, inputs]`."""
    up: torch.Tensor
    """B with the adapter's scale, `[outputs, rank]`."""


def read_factors(folder: Path, shapes: Shapes, max_rank: int) -> dict[str, Factors]:
    """By module, in float32. Raises `AdapterError` for what does not fit the model, naming the tensor."""
    rank, scale = read_scale(folder, max_rank)
    source = folder / WEIGHTS_FILE
    tensors = _read(source)
    found: dict[str, dict[str, torch.Tensor]] = {}
    for name, tensor in tensors.items():
        match = _FACTOR.fullmatch(name)
        if match is None or match["module"] not in shapes:
            raise AdapterError(f"{source}: {name} has no place in the model. {_known(shapes)}")
        found.setdefault(match["module"], {})[match["factor"]] = tensor
    if not found:
        raise AdapterError(f"{source}: holds no tensor.")
    return {
        module: _factors(module, pair, shapes[module], rank, scale, source) for module, pair in found.items()
    }


def _read(source: Path) -> dict[str, torch.Tensor]:
    if not os.path.isfile(source):
        pickled = os.path.isfile(source.parent / PICKLED_FILE)
        advice = f"{PICKLED_FILE} may run code when read: save the adapter" if pickled else "save the adapter"
        raise AdapterError(f"{source.parent}: there is no {WEIGHTS_FILE}; {advice} as safetensors.")
    try:
        file = WholeSafetensors(source)
        return {name: file.read(name, ()).to(torch.float32) for name in file.names()}
    except (CheckpointError, OSError, KeyError, RuntimeError, MemoryError) as error:
        why = str(error) or type(error).__name__
        raise AdapterError(f"{source}: cannot be read ({why}).") from None


def _factors(
    module: str,
    pair: Mapping[str, torch.Tensor],
    shape: tuple[int, int],
    rank: int,
    scale: float,
    source: Path,
) -> Factors:
    for factor, expected in (("A", (rank, shape[1])), ("B", (shape[0], rank))):
        tensor = pair.get(factor)
        if tensor is None:
            raise AdapterError(f"{source}: {module} has no lora_{factor}.")
        if tuple(tensor.shape) != expected:
            raise AdapterError(
                f"{source}: lora_{factor} of {module} has the shape {list(tensor.shape)}; with r {rank} the model "
                f"needs {list(expected)}."
            )
        if not bool(torch.isfinite(tensor).all()):
            raise AdapterError(f"{source}: lora_{factor} of {module} holds numbers that are not finite.")
    return Factors(pair["A"], pair["B"] * scale)


def _known(shapes: Shapes) -> str:
    kinds = sorted({name.rpartition(".")[2] for name in shapes})
    return f"Adapters may change the linear layers {', '.join(kinds)}; not embeddings, the head, norms or experts."
