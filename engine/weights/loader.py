"""Make a model and fill it, in the way `--load-format` says."""

import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING

from paddock.engine.layers.placement import Placement
from paddock.engine.models.causal_lm import CausalLM
from paddock.engine.models.errors import CheckpointError
from paddock.engine.models.registry import model_class
from paddock.engine.models.shape import ModelShape
from paddock.engine.weights.dummy import fill_with_random
from paddock.engine.weights.safetensors_loader import load_safetensors

if TYPE_CHECKING:
    from paddock.engine.config import LoadConfig

logger = logging.getLogger(__name__)

LOAD_FORMATS = ("auto", "safetensors", "dummy")


def load_model(
    shape: ModelShape, path: Path, load: "LoadConfig", place: Placement, max_positions: int, seed: int
) -> tuple[CausalLM, int]:
    """The model, ready for `bind_cache`, and the bytes of its weights. Raises `CheckpointError`."""
    load_format = load.load_format or "auto"
    if load_format not in LOAD_FORMATS:
        raise CheckpointError(f"load_format {load_format!r} is not supported; use {', '.join(LOAD_FORMATS)}.")
    started = time.monotonic()
    model = model_class(shape.architecture)(shape, place, max_positions)
    targets = list(model.weight_targets())
    show_progress = load.use_tqdm_on_load is not False
    if load_format == "dummy":
        fill_with_random(targets, seed, show_progress)
    else:
        load_safetensors(path, targets, tied_head=shape.tie_embeddings, show_progress=show_progress)
    weight_bytes = sum(target.destination.nbytes for target in targets)
    del targets
    model.pack()
    logger.info("model ready: %.2f GB of weights in %.1f s", weight_bytes / 1e9, time.monotonic() - started)
    return model, weight_bytes
