"""Cut a checkpoint for tensor-parallel ranks: `python -m paddock.engine.weights.save_sharded MODEL FOLDER -tp 2`.

The folder is then served with `--load-format sharded_state --tensor-parallel-size 2`. Runs on a CPU, one rank at a time.
"""

import argparse
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file

from paddock.engine.config import LoadConfig, ModelConfig
from paddock.engine.layers.placement import Placement
from paddock.engine.models.checkpoint import CONFIG_FILES, resolve_model
from paddock.engine.models.errors import CheckpointError
from paddock.engine.models.shape import ModelShape
from paddock.engine.weights.files import SAFETENSORS_INDEX
from paddock.engine.weights.loader import build_model, fill_from_checkpoint
from paddock.engine.weights.options import SHARD_PATTERN, LoadOptions
from paddock.engine.weights.sharded_state import RankTensor, rank_tensors

PART_BYTES = 5_000_000_000
"""Files are ended at this size: network stores are read faster by several at once."""


def save_sharded(source: Path, folder: Path, ranks: int, part_bytes: int = PART_BYTES) -> list[Path]:
    """Write each rank's files and the model's configuration and tokenizer. Raises `CheckpointError`."""
    if folder.exists() and any(folder.iterdir()):
        raise CheckpointError(f"{str(folder)!r} is not empty; name a new folder.")
    shape = ModelShape.read(source, ModelConfig())
    if shape.quantization.stored is not None:
        raise CheckpointError(
            f"{source}: is quantized ({shape.quantization.stored.method}), and files of ranks hold plain weights; "
            "serve it with --load-format auto."
        )
    folder.mkdir(parents=True, exist_ok=True)
    written = [
        file for rank in range(ranks) for file in _save_rank(source, folder, shape, rank, ranks, part_bytes)
    ]
    for pattern in CONFIG_FILES:
        for file in source.glob(pattern):
            if file.name != SAFETENSORS_INDEX:
                shutil.copyfile(file, folder / file.name)
    return written


def _save_rank(
    source: Path, folder: Path, shape: ModelShape, rank: int, ranks: int, part_bytes: int
) -> Iterator[Path]:
    place = Placement(getattr(torch, shape.torch_dtype), torch.device("cpu"), rank, ranks)
    model = build_model(shape, place, 1)
    tensors = rank_tensors(list(model.weight_targets()))
    if fill_from_checkpoint(model, source, LoadOptions(show_progress=False), shape):
        raise CheckpointError(
            f"{source}: holds scales of a KV cache (k_scale, v_scale), which files of ranks have no place for; "
            "serve it with --load-format auto."
        )
    for part, group in enumerate(_parts(tensors, part_bytes)):
        file = folder / SHARD_PATTERN.format(rank=rank, part=part)
        save_file({tensor.name: torch.cat(tensor.parts) for tensor in group}, file, metadata={"format": "pt"})
        yield file


def _parts(tensors: Sequence[RankTensor], part_bytes: int) -> Iterator[list[RankTensor]]:
    """Runs of tensors of about `part_bytes`, none empty."""
    group: list[RankTensor] = []
    size = 0
    for tensor in tensors:
        nbytes = sum(part.nbytes for part in tensor.parts)
        if group and size + nbytes > part_bytes:
            yield group
            group, size = [], 0
        group.append(tensor)
        size += nbytes
    yield group


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m paddock.engine.weights.save_sharded", description=__doc__
    )
    parser.add_argument("model", help="a local folder or a hub name")
    parser.add_argument("folder", type=Path, help="where the files go; must be new or empty")
    parser.add_argument("--tensor-parallel-size", "-tp", type=int, required=True, help="ranks to cut for")
    given = parser.parse_args(argv)
    if given.tensor_parallel_size < 1:
        parser.error(f"--tensor-parallel-size {given.tensor_parallel_size}: must be at least 1")
    try:
        source = resolve_model(ModelConfig(model=given.model), LoadConfig())
        files = save_sharded(source, given.folder, given.tensor_parallel_size)
    except (CheckpointError, ValueError) as error:
        print(f"save_sharded: {error}", file=sys.stderr)
        return 1
    for file in files:
        print(f"{file} {file.stat().st_size / 1e9:.2f} GB")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
