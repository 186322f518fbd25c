"""Load a checkpoint through transformers."""

import logging
from pathlib import Path
from typing import Any

import torch

from paddock.engine.layers.placement import Placement
from paddock.engine.models.errors import CheckpointError
from paddock.engine.models.shape import ModelShape
from paddock.engine.models.transformers_backend.attention import NAME
from paddock.engine.models.transformers_backend.model import TransformersCausalLM
from paddock.engine.models.transformers_backend.probe import check_against_itself
from paddock.engine.models.transformers_backend.refusal import Unsupported
from paddock.engine.models.transformers_backend.support import causal_lm_class, check_config

logger = logging.getLogger(__name__)


def load_with_transformers(
    shape: ModelShape, path: Path, place: Placement, seed: int, *, random_weights: bool
) -> tuple[TransformersCausalLM, int]:
    """The model, proved on a short probe, and the bytes of its weights. Raises `CheckpointError`."""
    try:
        _check_place(place)
        model = _proved(_load(shape, path, place, seed, random_weights), shape.vocab_size)
    except Unsupported as reason:
        raise CheckpointError(
            f"{path}: {shape.architecture} cannot run through transformers, because {reason}."
        ) from None
    logger.info("%s runs through transformers, and gave the logits of its own attention", shape.architecture)
    return model, sum(parameter.nbytes for parameter in model.parameters())


def _proved(loaded: Any, vocab_size: int) -> TransformersCausalLM:
    try:
        model = TransformersCausalLM(loaded)
        check_against_itself(model, vocab_size)
    except Unsupported:
        raise
    except (IndexError, KeyError, AttributeError, TypeError, ValueError, RuntimeError) as error:
        # Code of 170 authors: whatever goes wrong here would go wrong at the first request.
        raise Unsupported(f"it fails on a plain text of two tokens or more: {_first_line(error)}") from error
    return model


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]


def _check_place(place: Placement) -> None:
    if place.num_stages > 1:
        raise Unsupported(
            "only the engine's own models are split into pipeline stages; use --tensor-parallel-size"
        )
    if place.size > 1:
        raise Unsupported("only the engine's own models are split over ranks; use --tensor-parallel-size 1")


def _load(shape: ModelShape, path: Path, place: Placement, seed: int, random_weights: bool) -> Any:
    kind = causal_lm_class(shape.architecture)
    try:
        # As read for the shape: with what the command line lays over config.json.
        config = kind.config_class.from_dict(dict(shape.fields.values))
        check_config(config)
        if random_weights:
            config._attn_implementation = NAME
            torch.manual_seed(seed)
            model = kind._from_config(config, dtype=place.dtype)
        else:
            model = kind.from_pretrained(
                path,
                config=config,
                dtype=place.dtype,
                attn_implementation=NAME,
                local_files_only=True,
                use_safetensors=True,
            )
    except Unsupported:
        raise
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{path}: transformers cannot load {shape.architecture}: {_first_line(error)}"
        ) from error
    return model.to(place.device).eval()
