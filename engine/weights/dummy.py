"""Random weights of a sane scale (`--load-format dummy`): to measure speed, or to test, without a checkpoint."""

from collections.abc import Sequence
from zlib import crc32

import torch

from paddock.engine.weights.progress import LoadProgress
from paddock.engine.weights.target import WeightTarget

POOL = 4_194_301
"""Prime, so that rows cut from the repeated pool never line up and no two rows of a matrix are equal."""


def fill_with_random(targets: Sequence[WeightTarget], seed: int, show_progress: bool) -> None:
    """Norm weights are one, biases zero, and matrices normal with deviation 1 / sqrt(inputs).

    The same seed gives the same weights. Values are cut from one pool of normal numbers: drawing each anew would
    take a minute for every few billion.
    """
    pool = torch.randn(POOL, generator=torch.Generator().manual_seed(seed))
    total = sum(target.destination.nbytes for target in targets)
    with LoadProgress("drawing weights", total, show_progress) as progress:
        for target in targets:
            _fill(target, pool)
            progress.advance(target.destination.nbytes)


def _fill(target: WeightTarget, pool: torch.Tensor) -> None:
    destination = target.destination
    if destination.dim() == 1:
        destination.fill_(0.0 if target.name.endswith("bias") else 1.0)
        return
    if destination.dtype == torch.uint8:
        # MXFP4: as values 6 everywhere, as scales 2 ** -8.
        destination.fill_(0x77)
        return
    scaled = (pool * target.full_shape[-1] ** -0.5).to(destination.device, destination.dtype)
    # Destinations are row ranges of a matrix, perhaps transposed, so the flat view writes through.
    flat = (destination if destination.is_contiguous() else destination.mT).view(-1)
    start = crc32(target.name.encode()) % POOL
    written = 0
    while written < flat.numel():
        count = min(POOL - start, flat.numel() - written)
        flat[written : written + count] = scaled[start : start + count]
        written, start = written + count, 0
