"""Scales of a cache of 8-bit floats, measured before the cache is made (`--calculate-kv-scales`).

The text is made up, and the same at every start: were it the first users', what others are answered would depend on who
came first.
"""

import logging
import math
import random
from collections.abc import Iterator, Sequence

import torch
from torch import nn

from paddock.engine.executor.plan import NewRow, ScheduledRow, StepPlan
from paddock.engine.layers.attention import SelfAttention
from paddock.engine.sampling.params import SamplingParams
from paddock.engine.settings import EngineSettings
from paddock.kernels import UNSCALED, CacheScales

logger = logging.getLogger(__name__)

MOST_TOKENS = 256
HEADROOM = 2.0
"""How much larger than any that was measured a number may be before it saturates. It costs one bit of the exponent, at
the small end, and none of the precision."""


def made_up_text(settings: EngineSettings) -> StepPlan:
    """One row of tokens drawn from the whole vocabulary."""
    length = min(MOST_TOKENS, settings.max_num_batched_tokens, settings.max_model_len - 1)
    draw = random.Random(0)
    token_ids = [draw.randrange(settings.vocab_size) for _ in range(length)]
    new = NewRow(0, "scales", token_ids, length, SamplingParams(max_tokens=1, temperature=0, seed=0))
    blocks = list(range(-(-length // settings.block_size)))
    return StepPlan(0, [], [new], [ScheduledRow(0, 0, length, blocks, samples=True)])


def scaled_layers(model: nn.Module) -> Iterator[SelfAttention]:
    """A decoder's layers are no children of it that torch knows of."""
    for layer in getattr(model, "layers", ()):
        if isinstance(layer.self_attn, SelfAttention):
            yield layer.self_attn


def unscale(layers: Sequence[SelfAttention]) -> None:
    for layer in layers:
        layer.cache_scales = UNSCALED


def take_scales(layers: Sequence[SelfAttention], dtype: torch.dtype) -> None:
    """From what the layers' caches hold, plain numbers still, for caches of `dtype`."""
    for layer in layers:
        layer.cache_scales = CacheScales(scale_of(layer.key_cache, dtype), scale_of(layer.value_cache, dtype))
    keys, values = zip(*(layer.cache_scales for layer in layers), strict=True)
    logger.info(
        "KV cache scales: %.2g to %.2g for keys, %.2g to %.2g for values",
        min(keys), max(keys), min(values), max(values),
    )  # fmt: skip


def scale_of(cache: torch.Tensor, dtype: torch.dtype) -> float:
    """What the cache's numbers are divided by so that they lie in the range of `dtype`, with room above."""
    scale = HEADROOM * float(cache.abs().amax()) / torch.finfo(dtype).max
    return scale if 0 < scale < math.inf else 1.0
