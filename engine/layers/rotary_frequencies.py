"""Frequencies of the rotary position embedding, stretched as a checkpoint or an override says."""

import math
from collections.abc import Callable

import torch

from paddock.engine.models.errors import CheckpointError
from paddock.engine.models.rope import RopeKind, RopeShape


def inverse_frequencies(rope: RopeShape, head_dim: int, max_positions: int) -> torch.Tensor:
    """float32 `[rotary_dim / 2]`, on the CPU, for sequences of up to `max_positions`.

    Dynamic and LongRoPE scaling depend on the length of the sequence. Cached keys are shared by sequences of all
    lengths, so one set of frequencies holds for all: that of the longest sequence which may come.
    """
    dim = int(head_dim * rope.partial_rotary_factor)
    return _STRETCH[rope.kind](rope, dim, max_positions)


def _plain(theta: float, dim: int) -> torch.Tensor:
    exponents = torch.arange(0, dim, 2, dtype=torch.float32) / dim
    return 1.0 / (theta**exponents)


def _default(rope: RopeShape, dim: int, max_positions: int) -> torch.Tensor:
    return _plain(rope.theta, dim)


def _linear(rope: RopeShape, dim: int, max_positions: int) -> torch.Tensor:
    return _plain(rope.theta, dim) / rope.factor


def _dynamic(rope: RopeShape, dim: int, max_positions: int) -> torch.Tensor:
    """NTK-aware: a larger base, by how far the sequence exceeds the original context."""
    original = rope.original_max_position_embeddings
    stretch = rope.factor * max(max_positions, original) / original - (rope.factor - 1)
    return _plain(rope.theta * stretch ** (dim / (dim - 2)), dim)


def _llama3(rope: RopeShape, dim: int, max_positions: int) -> torch.Tensor:
    """Llama 3.1: long waves are slowed by `factor`, short ones kept, and the band between is interpolated."""
    frequencies = _plain(rope.theta, dim)
    turns = rope.original_max_position_embeddings / (2 * math.pi / frequencies)
    kept = (turns - rope.low_freq_factor) / (rope.high_freq_factor - rope.low_freq_factor)
    kept = kept.clamp(0.0, 1.0)
    return (1 - kept) * frequencies / rope.factor + kept * frequencies


def _yarn(rope: RopeShape, dim: int, max_positions: int) -> torch.Tensor:
    """Peng et al. 2023: as Llama 3.1, but the band lies between dimensions and is linear in their number."""
    first, last = (_dimension_with_turns(rope, dim, turns) for turns in (rope.beta_fast, rope.beta_slow))
    if rope.truncate:
        first, last = math.floor(first), math.ceil(last)
    first, last = max(first, 0), min(last, dim - 1)
    width = last - first or 0.001
    slowed = ((torch.arange(dim // 2, dtype=torch.float32) - first) / width).clamp(0.0, 1.0)
    frequencies = _plain(rope.theta, dim)
    return frequencies / rope.factor * slowed + frequencies * (1 - slowed)


def _dimension_with_turns(rope: RopeShape, dim: int, turns: float) -> float:
    """The dimension whose wave makes `turns` turns within the original context."""
    wave = rope.original_max_position_embeddings / (turns * 2 * math.pi)
    return dim * math.log(wave) / (2 * math.log(rope.theta))


def _longrope(rope: RopeShape, dim: int, max_positions: int) -> torch.Tensor:
    is_long = max_positions > rope.original_max_position_embeddings
    name, factors = ("long_factor", rope.long_factor) if is_long else ("short_factor", rope.short_factor)
    if len(factors) != dim // 2:
        raise CheckpointError(f"rope {name} has {len(factors)} entries; the model's heads need {dim // 2}.")
    return _plain(rope.theta, dim) / torch.tensor(factors)


_STRETCH: dict[RopeKind, Callable[[RopeShape, int, int], torch.Tensor]] = {
    "default": _default,
    "linear": _linear,
    "dynamic": _dynamic,
    "llama3": _llama3,
    "yarn": _yarn,
    "longrope": _longrope,
}
