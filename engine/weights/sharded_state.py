"""Weights cut for each tensor-parallel rank beforehand (`--load-format sharded_state`).

A rank's files hold its own parameters under their names in a checkpoint, fused ones under the fused name. Each rank
reads only its own bytes, which is the fastest start from a slow disk.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from paddock.engine.models.errors import CheckpointError
from paddock.engine.weights.target import WeightTarget
from paddock.engine.weights.tensor_file import FETCH_AGAIN

FUSED = {
    "q_proj": "qkv_proj",
    "k_proj": "qkv_proj",
    "v_proj": "qkv_proj",
    "gate_proj": "gate_up_proj",
    "up_proj": "gate_up_proj",
}


@dataclass(frozen=True)
class RankTensor:
    """A tensor of a rank's files and the parameters that lie in it, one after the other by rows."""

    name: str
    parts: tuple[torch.Tensor, ...]

    def targets(self) -> Iterator[WeightTarget]:
        """The same parameters, to be filled from the rank's own tensor."""
        rows = sum(part.shape[0] for part in self.parts)
        first = 0
        for part in self.parts:
            source = (slice(first, first + part.shape[0]),)
            yield WeightTarget(self.name, (rows, *part.shape[1:]), part, source)
            first += part.shape[0]


def rank_tensors(targets: Sequence[WeightTarget]) -> list[RankTensor]:
    """A model's parameters on this rank; those that a checkpoint keeps in one tensor stay in one.

    Raises `CheckpointError` for parts that cannot follow each other by rows.
    """
    parts: dict[str, list[torch.Tensor]] = {}
    for target in targets:
        parts.setdefault(fused_name(target.name), []).append(target.destination)
    for name, tensors in parts.items():
        if any(tensor.shape[1:] != tensors[0].shape[1:] for tensor in tensors):
            raise CheckpointError(
                f"load_format 'sharded_state' cannot hold {name}, which this model cuts into parts of different widths; "
                "use load_format 'auto'."
            )
    return [RankTensor(name, tuple(tensors)) for name, tensors in parts.items()]


def fused_name(name: str) -> str:
    """`layers.0.self_attn.q_proj.weight` lies in `layers.0.self_attn.qkv_proj.weight`."""
    path, _, kind = name.rpartition(".")
    module, _, last = path.rpartition(".")
    return f"{module}.{FUSED[last]}.{kind}" if last in FUSED else name


def rank_files(folder: Path, pattern: str, rank: int, size: int) -> list[Path]:
    """This rank's files, all parts of them. Raises `CheckpointError`."""
    files = _parts(folder, pattern, rank)
    if not files:
        example = pattern.format(rank=rank, part=0)
        raise CheckpointError(
            f"{folder}: no {example}; save the model for {size} ranks with python -m paddock.engine.weights.save_sharded, "
            "or name its files by the key pattern of --model-loader-extra-config."
        )
    if _parts(folder, pattern, size):
        raise CheckpointError(
            f"{folder}: was saved for more than {size} ranks ({pattern.format(rank=size, part=0)} is there); use the "
            "--tensor-parallel-size that it was saved for."
        )
    return files


def _parts(folder: Path, pattern: str, rank: int) -> list[Path]:
    """Parts count from 0 without a gap."""
    found: list[Path] = []
    while (file := folder / pattern.format(rank=rank, part=len(found))).is_file():
        found.append(file)
    return found


def check_parts(tensors: Sequence[RankTensor], held: Mapping[str, tuple[int, ...]], folder: Path) -> None:
    """A rank's tensor of another size was saved for another number of ranks. Raises `CheckpointError`."""
    for tensor in tensors:
        expected = next(tensor.targets()).full_shape
        found = held.get(tensor.name)
        if found is not None and found != expected:
            raise CheckpointError(
                f"{folder}: tensor {tensor.name} of this rank has shape {list(found)}, and {list(expected)} is expected; "
                f"it was saved for another --tensor-parallel-size or another model. Save it anew, or {FETCH_AGAIN}."
            )
