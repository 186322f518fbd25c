"""Load a checkpoint through transformers."""

import logging
from collections.abc import Collection
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from transformers import PretrainedConfig

from paddock.engine.layers.placement import Placement
from paddock.engine.models.errors import CheckpointError
from paddock.engine.models.shape import ModelShape
from paddock.engine.models.transformers_backend.attention import NAME
from paddock.engine.models.transformers_backend.classes import model_and_config_class
from paddock.engine.models.transformers_backend.custom_class import first_line
from paddock.engine.models.transformers_backend.model import TransformersCausalLM
from paddock.engine.models.transformers_backend.probe import check_against_itself
from paddock.engine.models.transformers_backend.refusal import Unsupported
from paddock.engine.models.transformers_backend.sharding import Sharding, sharded
from paddock.engine.models.transformers_backend.support import check_config
from paddock.engine.weights.files import some

logger = logging.getLogger(__name__)


def load_with_transformers(
    shape: ModelShape,
    path: Path,
    place: Placement,
    seed: int,
    *,
    random_weights: bool,
    download_dir: str | None = None,
) -> tuple[TransformersCausalLM, int]:
    """The model, proved on a short probe, and the bytes of its weights. Raises `CheckpointError`."""
    try:
        _check_place(place)
        kind, config = _class_and_config(shape, path, download_dir)
        loaded = _load(shape, path, place, seed, kind, config, random_weights)
        model = _proved(loaded, shape.vocab_size, place)
    except Unsupported as reason:
        raise CheckpointError(
            f"{path}: {shape.architecture} cannot run through transformers, because {reason}."
        ) from None
    logger.info("%s runs through transformers, and gave the logits of its own attention", shape.architecture)
    return model, sum(parameter.nbytes for parameter in model.parameters())


def _proved(loaded: Any, vocab_size: int, place: Placement) -> TransformersCausalLM:
    try:
        model = TransformersCausalLM(loaded)
        check_against_itself(model, vocab_size, place)
    except Unsupported:
        raise
    except Exception as error:
        # Code of 170 authors, or of the model's: whatever goes wrong here would go wrong at the first request.
        raise Unsupported(f"it fails on a plain text of two tokens or more: {first_line(error)}") from error
    return model


def _check_place(place: Placement) -> None:
    if place.num_stages > 1:
        raise Unsupported(
            "only the engine's own models are split into pipeline stages; use --tensor-parallel-size"
        )


def _class_and_config(
    shape: ModelShape, path: Path, download_dir: str | None
) -> tuple[Any, PretrainedConfig]:
    kind, config_kind = model_and_config_class(shape, path, download_dir)
    try:
        # As read for the shape: with what the command line lays over config.json.
        config = config_kind.from_dict(dict(shape.fields.values))
    except Exception as error:
        raise _cannot_load(shape, path, error) from error
    check_config(config)
    return kind, config


def _load(
    shape: ModelShape,
    path: Path,
    place: Placement,
    seed: int,
    kind: Any,
    config: PretrainedConfig,
    random_weights: bool,
) -> Any:
    sharding = Sharding(place) if place.size > 1 else None
    if sharding is not None:
        kind = sharded(kind, sharding)
    try:
        if random_weights:
            config._attn_implementation = NAME
            torch.manual_seed(seed)
            return kind._from_config(config, dtype=place.dtype).to(place.device).eval()
        with sharding.loading() if sharding is not None else nullcontext():
            model, found = kind.from_pretrained(
                path,
                config=config,
                dtype=place.dtype,
                attn_implementation=NAME,
                local_files_only=True,
                use_safetensors=True,
                output_loading_info=True,
            )
    except Unsupported:
        raise
    except Exception as error:
        raise _cannot_load(shape, path, error) from error
    _refuse_unfilled(found["missing_keys"], path)
    if sharding is not None:
        sharding.check(model)
    return model.to(place.device).eval()


def _refuse_unfilled(missing: Collection[str], path: Path) -> None:
    """transformers would leave those at random values, and the model would speak nonsense."""
    if missing:
        raise CheckpointError(
            f"{path}: the checkpoint lacks {len(missing)} tensors that config.json asks for: {some(sorted(missing))}; "
            "the weights and config.json are of different models."
        )


def _cannot_load(shape: ModelShape, path: Path, error: Exception) -> CheckpointError:
    return CheckpointError(f"{path}: transformers cannot load {shape.architecture}: {first_line(error)}")
