"""Fill a model from the files of a checkpoint, straight into its fused parameters and cast on the way."""

from collections import defaultdict, deque
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from safetensors import SafetensorError

from paddock.engine.models.errors import CheckpointError
from paddock.engine.weights.files import some
from paddock.engine.weights.progress import LoadProgress
from paddock.engine.weights.target import WeightTarget
from paddock.engine.weights.tensor_file import FETCH_AGAIN, TensorFile

FLOATING = ("float64", "float32", "bfloat16", "float16")
"""What is cast to the type of the computation; any other type is of a quantized checkpoint."""

UNCAST = ((torch.uint8, "uint8"), (torch.int8, "int8"))
"""Codes, which are copied as they are."""

BUFFERS = ("rotary_emb.inv_freq", ".attn.bias", ".attn.masked_bias")
"""Ends of names that are no parameters."""


def fill(
    targets: list[WeightTarget],
    files: list[TensorFile],
    *,
    tied_head: bool,
    show_progress: bool,
    elsewhere: Collection[str] = (),
    threads: int = 1,
    filled: Callable[[torch.Tensor], None] | None = None,
) -> None:
    """Every name, shape and type is checked before the first byte is copied. Raises `CheckpointError`.

    `elsewhere` are tensors of the model that other pipeline stages load. `filled` is told of each target's destination.

    Empties `files`: each is let go when it has been read, so that a shard's pages need not stay while the next comes. So
    with `targets`: a layer may be done with its plain weight before the next is read.
    """
    by_name = {name: file for file in files for name in file.names()}
    paths = {name: file.path for name, file in by_name.items()}
    check_names(paths, {target.name for target in targets}, elsewhere, tied_head)
    total = sum(target.destination.nbytes for target in targets)
    wanted = _by_file(targets, by_name)
    targets.clear()
    del by_name
    with LoadProgress("loading weights", total, show_progress) as progress:
        if threads == 1:
            while files:
                _copy_file(files.pop(0), wanted, progress, filled)
            return
        with ThreadPoolExecutor(threads, "load-weights") as pool:
            reads = [
                pool.submit(_copy_file, files.pop(0), wanted, progress, filled) for _ in range(len(files))
            ]
            try:
                for read in reads:
                    read.result()
            finally:
                pool.shutdown(cancel_futures=True)


def _by_file(
    targets: Sequence[WeightTarget], by_name: Mapping[str, TensorFile]
) -> dict[Path, deque[WeightTarget]]:
    wanted: dict[Path, deque[WeightTarget]] = defaultdict(deque)
    for target in targets:
        _check_tensor(by_name[target.name], target)
        wanted[by_name[target.name].path].append(target)
    return wanted


def _copy_file(
    file: TensorFile,
    wanted: Mapping[Path, deque[WeightTarget]],
    progress: LoadProgress,
    filled: Callable[[torch.Tensor], None] | None,
) -> None:
    left = wanted.get(file.path, deque())
    while left:
        target = left.popleft()
        _copy(file, target)
        progress.advance(target.destination.nbytes)
        if filled is not None:
            filled(target.destination)
        del target  # so that a layer that is packed now lets its memory go


def _copy(file: TensorFile, target: WeightTarget) -> None:
    try:
        target.destination.copy_(file.read(target.name, target.source))
    except (SafetensorError, OSError, RuntimeError, ValueError) as error:
        raise CheckpointError(
            f"{file.path}: tensor {target.name} cannot be read ({error}); {FETCH_AGAIN}."
        ) from error
    if not _is_finite(target.destination):
        raise CheckpointError(
            f"{file.path}: tensor {target.name} ({file.dtype(target.name)}) holds NaN or infinity as "
            f"{str(target.destination.dtype).removeprefix('torch.')}, where finite numbers are expected; {FETCH_AGAIN}, or "
            "choose a --dtype with a wider range."
        )


def _is_finite(tensor: torch.Tensor) -> bool:
    """By the smallest and the largest value, which NaN takes over: one pass and no copy."""
    if tensor.numel() == 0:
        return True
    least, most = torch.aminmax(tensor)
    return bool(torch.isfinite(least)) and bool(torch.isfinite(most))


def _check_tensor(file: TensorFile, target: WeightTarget) -> None:
    shape, dtype = file.shape(target.name), file.dtype(target.name)
    if shape != target.full_shape:
        raise CheckpointError(
            f"{file.path.name}: tensor {target.name} has shape {list(shape)}, and config.json asks for "
            f"{list(target.full_shape)}; the weights and config.json are of different models."
        )
    if dtype not in FLOATING and (target.destination.dtype, dtype) not in UNCAST:
        raise CheckpointError(
            f"{file.path.name}: tensor {target.name} has dtype {dtype}, and one of {', '.join(FLOATING)} is expected; "
            "use the unquantized checkpoint."
        )


def check_index(index: Path, indexed: Mapping[str, str], files: Sequence[TensorFile]) -> None:
    """What the index promises must be in the file that it names. Raises `CheckpointError`."""
    held = {file.path.name: set(file.names()) for file in files}
    for tensor, name in indexed.items():
        if tensor not in held[name]:
            raise CheckpointError(
                f"{index}: says that tensor {tensor} is in {name}, and it is not; {FETCH_AGAIN}."
            )


def check_names(
    found: Mapping[str, Path], wanted: set[str], elsewhere: Collection[str], tied_head: bool
) -> None:
    """The checkpoint must hold exactly what the model has. Raises `CheckpointError` naming what differs."""
    missing = sorted(wanted - set(found))
    if missing:
        raise CheckpointError(
            f"the checkpoint lacks {len(missing)} tensors that config.json asks for: {some(missing)}; "
            "the weights and config.json are of different models."
        )
    unexpected = sorted(
        name for name in set(found) - wanted - set(elsewhere) if not _ignored(name, tied_head)
    )
    if unexpected:
        raise CheckpointError(
            f"the checkpoint holds {len(unexpected)} tensors that config.json has no place for: {some(unexpected)} "
            f"(in {found[unexpected[0]].name}); the weights and config.json are of different models."
        )


def _ignored(name: str, tied_head: bool) -> bool:
    """Some checkpoints store a tied head a second time; old ones also rotary frequencies and GPT-2's causal mask."""
    return name.endswith(BUFFERS) or (tied_head and name == "lm_head.weight")
