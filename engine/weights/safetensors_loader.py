"""Fill a model from safetensors files, straight into its fused parameters and cast on the way."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from paddock.engine.models.errors import CheckpointError
from paddock.engine.weights.files import FETCH_AGAIN, check_names, find_files, open_file
from paddock.engine.weights.progress import LoadProgress
from paddock.engine.weights.target import WeightTarget


def load_safetensors(
    folder: Path, targets: Sequence[WeightTarget], *, tied_head: bool, show_progress: bool
) -> None:
    """Raises `CheckpointError`; every name and shape is checked before the first byte is copied."""
    files = {file: open_file(file) for file in find_files(folder)}
    found = {name: file for file, handle in files.items() for name in handle.keys()}  # noqa: SIM118
    check_names(found, {target.name for target in targets}, tied_head)
    by_file: dict[Path, list[WeightTarget]] = defaultdict(list)
    for target in targets:
        _check_shape(files[found[target.name]], found[target.name], target)
        by_file[found[target.name]].append(target)
    total = sum(target.destination.nbytes for target in targets)
    with LoadProgress("loading weights", total, show_progress) as progress:
        # File by file, and each mapping let go at its end: a shard's pages need not stay while the next is read.
        for file in list(files):
            handle = files.pop(file)
            for target in by_file[file]:
                _copy(handle, file, target)
                progress.advance(target.destination.nbytes)
            del handle


def _check_shape(handle: Any, file: Path, target: WeightTarget) -> None:
    shape = tuple(handle.get_slice(target.name).get_shape())
    if shape != target.full_shape:
        raise CheckpointError(
            f"{file.name}: tensor {target.name} has shape {list(shape)}, and config.json asks for "
            f"{list(target.full_shape)}; the weights and config.json are of different models."
        )


def _copy(handle: Any, file: Path, target: WeightTarget) -> None:
    try:
        part = handle.get_slice(target.name)
        target.destination.copy_(part[target.source] if target.source else part[:])
    except (SafetensorError, OSError, RuntimeError) as error:
        raise CheckpointError(
            f"{file}: tensor {target.name} cannot be read ({error}); {FETCH_AGAIN}."
        ) from error
