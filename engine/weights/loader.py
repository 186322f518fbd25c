"""Make a model and fill it, in the way `--load-format` says."""

import logging
import time
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from paddock.engine.cache_root import cache_root
from paddock.engine.layers.placement import Placement
from paddock.engine.layers.vocabulary import HEAD_BITS, VocabularyShard
from paddock.engine.models.causal_lm import CausalLM
from paddock.engine.models.errors import CheckpointError
from paddock.engine.models.quantization import StoredWeights
from paddock.engine.models.registry import NATIVE_FAMILIES, model_class
from paddock.engine.models.shape import ModelShape
from paddock.engine.pooling.architectures import unread
from paddock.engine.weights.array_cache import cached_arrays
from paddock.engine.weights.base_prefix import as_stored
from paddock.engine.weights.cache_scales import apply_cache_scales, read_cache_scales
from paddock.engine.weights.dequantized_file import dequantized, quantized_modules, stated_groups
from paddock.engine.weights.dummy import fill_with_random
from paddock.engine.weights.early_packing import EarlyPacking
from paddock.engine.weights.files import WeightFiles, find_files
from paddock.engine.weights.fill import check_index, fill
from paddock.engine.weights.kept_codes import keep_codes
from paddock.engine.weights.linear_layers import linear_layers
from paddock.engine.weights.mistral_file import MistralFile
from paddock.engine.weights.options import LoadOptions
from paddock.engine.weights.pickled_file import PickledFile
from paddock.engine.weights.safetensors_file import MappedSafetensors, WholeSafetensors
from paddock.engine.weights.sharded_state import check_parts, fused_name, rank_files, rank_tensors
from paddock.engine.weights.target import WeightTarget
from paddock.engine.weights.tensor_file import TensorFile

if TYPE_CHECKING:
    from paddock.engine.config import LoadConfig

logger = logging.getLogger(__name__)


def load_model(
    shape: ModelShape, path: Path, load: "LoadConfig", place: Placement, max_positions: int, seed: int
) -> tuple[CausalLM, int]:
    """The model, ready for `bind_cache`, and the bytes of its weights. Raises `CheckpointError`."""
    options = LoadOptions.read(load)
    started = time.monotonic()
    place = replace(place, rounded_bits=shape.quantization.rounded_bits)
    if not shape.native:
        return load_transformers(shape, path, load, place, seed)
    model = build_model(shape, place, max_positions)
    plain_bytes = sum(target.destination.nbytes for target in model.weight_targets())
    if options.load_format == "dummy":
        fill_with_random(list(model.weight_targets()), seed, options.show_progress)
    elif options.load_format == "sharded_state":
        fill_from_rank_files(list(model.weight_targets()), path, options, place, shape)
    else:
        scales = fill_from_checkpoint(model, path, options, shape, names_elsewhere(shape, place))
        apply_cache_scales(model, scales)
    model.pack()
    if place.rounded_bits is not None:
        logger.info("linear layers are rounded to %d bits, and the head to %d", place.rounded_bits, HEAD_BITS)
    weight_bytes = plain_bytes - _saved_bytes(model)
    logger.info("model ready: %.2f GB of weights in %.1f s", weight_bytes / 1e9, time.monotonic() - started)
    return model, weight_bytes


def _saved_bytes(model: CausalLM) -> int:
    """By codes in place of plain numbers. Call once all is packed."""
    heads = [module for module in model.modules() if isinstance(module, VocabularyShard)]
    return sum(layer.saved_bytes for layer in linear_layers(model)) + sum(head.saved_bytes for head in heads)


def build_model(shape: ModelShape, place: Placement, max_positions: int) -> CausalLM:
    """Of the engine's own code, its parameters allocated and not filled."""
    if shape.pooling is None:
        return model_class(shape.architecture)(shape, place, max_positions)
    from paddock.engine.pooling.model import PooledModel

    return PooledModel(shape, place, max_positions)


def load_transformers(
    shape: ModelShape, path: Path, load: "LoadConfig", place: Placement, seed: int
) -> tuple[CausalLM, int]:
    """A model that transformers builds and fills, from safetensors or at random. Raises `CheckpointError`."""
    from paddock.engine.models.transformers_backend.load import load_with_transformers

    if load.load_format not in ("auto", "safetensors", "dummy"):
        raise CheckpointError(
            f"load_format {load.load_format!r} is for the engine's own models, and {shape.architecture} runs "
            "through transformers; use auto, safetensors or dummy."
        )
    return load_with_transformers(
        shape,
        path,
        place,
        seed,
        random_weights=load.load_format == "dummy",
        download_dir=load.download_dir,
    )


def names_elsewhere(shape: ModelShape, place: Placement) -> set[str]:
    """The tensors of the whole model, when other ranks hold layers or experts of it: its files hold them all."""
    if place.num_stages == 1 and place.expert_placement is None:
        return set()
    whole = replace(
        place,
        device=torch.device("meta"),
        rank=0,
        size=1,
        stage=0,
        num_stages=1,
        expert_placement=None,
        stream=None,
    )
    return {target.name for target in build_model(shape, whole, 1).weight_targets()}


def fill_from_checkpoint(
    model: CausalLM,
    path: Path,
    options: LoadOptions,
    shape: ModelShape,
    elsewhere: Collection[str] = (),
) -> dict[str, float]:
    """From the files that hold the whole model; returns the KV cache's scales that they hold. Raises `CheckpointError`.

    Layers whose weights become codes are packed at once.
    """
    found = find_files(path, options)
    files = open_files(found, options, shape.head_dim)
    if found.index is not None and found.kind in ("safetensors", "pt"):
        check_index(found.index, found.indexed, files)
    logger.info("reading %s", describe(found, options))
    pooling = shape.pooling
    prefix = NATIVE_FAMILIES[shape.architecture].base_prefix if pooling is None else pooling.base_prefix
    if shape.quantization.stored is not None:
        files = without_words(files, model, prefix, shape.quantization.stored)
    names = {name for file in files for name in file.names()}
    if pooling is not None:
        elsewhere = {*elsewhere, *unread(names, prefix)}
    targets, elsewhere = as_stored(list(model.weight_targets()), elsewhere, names, prefix)
    scales = read_cache_scales(files)
    packing = EarlyPacking(model, targets)
    fill(
        targets,
        files,
        tied_head=shape.tie_embeddings,
        show_progress=options.show_progress,
        elsewhere={*elsewhere, *scales},
        threads=options.threads,
        filled=packing.filled,
    )
    packing.finish()
    return scales


def without_words(
    files: Sequence[TensorFile], model: CausalLM, prefix: str, stored: StoredWeights
) -> list[TensorFile]:
    """The files of a quantized checkpoint, as they hold what the model's layers are then filled from."""
    names = {name for file in files for name in file.names()}
    targets, _ = as_stored(list(model.weight_targets()), (), names, prefix)
    modules = {target.name.removesuffix(".weight") for target in targets} & quantized_modules(names, stored)
    kept = keep_codes(model, targets, modules, stored, stated_groups(files, stored, modules))
    logger.info(
        "quantized by %s: %d matrices stay in codes of %d bits, %d become plain numbers",
        stored.method, len(kept), stored.bits, len(modules) - len(kept),
    )  # fmt: skip
    return dequantized(files, stored, kept)


def fill_from_rank_files(
    targets: Sequence[WeightTarget], path: Path, options: LoadOptions, place: Placement, shape: ModelShape
) -> None:
    """From the files that `save_sharded` wrote for this rank. Raises `CheckpointError`."""
    tensors = rank_tensors(targets)
    paths = rank_files(path, options.shard_pattern, place.rank, place.size)
    files: list[TensorFile] = [_safetensors(file, options) for file in paths]
    check_parts(tensors, {name: file.shape(name) for file in files for name in file.names()}, path)
    fill(
        [target for tensor in tensors for target in tensor.targets()],
        files,
        tied_head=shape.tie_embeddings,
        show_progress=options.show_progress,
        elsewhere={fused_name(name) for name in names_elsewhere(shape, place)},
        threads=options.threads,
    )


def open_files(found: WeightFiles, options: LoadOptions, head_dim: int) -> list[TensorFile]:
    """Raises `CheckpointError` for a file that is not whole."""
    if found.kind == "npcache":
        return [cached_arrays(found.paths, cache_root())]
    if found.kind == "pt":
        return [PickledFile(file, options.map_location) for file in found.paths]
    mapped = [_safetensors(file, options) for file in found.paths]
    if found.kind == "mistral":
        return [MistralFile(file, head_dim) for file in mapped]
    return list(mapped)


def _safetensors(file: Path, options: LoadOptions) -> TensorFile:
    return WholeSafetensors(file) if options.eager else MappedSafetensors(file)


def describe(found: WeightFiles, options: LoadOptions) -> str:
    """For the log: how many files, of what format, and how they are read."""
    how = ", each whole" if options.eager and found.kind in ("safetensors", "mistral") else ""
    threads = f", {options.threads} at a time" if options.threads > 1 else ""
    return f"{len(found.paths)} files of format {found.kind}{how}{threads}"
