"""Tables of the rotary position embedding (Su et al. 2021), with the stretching of long-context checkpoints."""

import math

import torch

from paddock.engine.models.rope import RopeShape


class RotaryTable:
    """Cosines and sines of every position below `max_positions`, float32 `[max_positions, head_dim / 2]`."""

    def __init__(self, rope: RopeShape, head_dim: int, max_positions: int, device: torch.device) -> None:
        positions = torch.arange(max_positions, dtype=torch.float32)
        angles = positions[:, None] * inverse_frequencies(rope, head_dim)
        self.cos = angles.cos().to(device)
        self.sin = angles.sin().to(device)

    def at(self, positions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Rows for `positions` `[tokens]`."""
        return self.cos.index_select(0, positions), self.sin.index_select(0, positions)


def inverse_frequencies(rope: RopeShape, head_dim: int) -> torch.Tensor:
    """float32 `[head_dim / 2]`, on the CPU."""
    exponents = torch.arange(0, head_dim, 2, dtype=torch.float32) / head_dim
    frequencies = 1.0 / (rope.theta**exponents)
    if rope.kind == "linear":
        return frequencies / rope.factor
    if rope.kind == "llama3":
        return _stretch_by_band(frequencies, rope)
    return frequencies


def _stretch_by_band(frequencies: torch.Tensor, rope: RopeShape) -> torch.Tensor:
    """Llama 3.1: long waves are slowed by `factor`, short ones kept, and the band between is interpolated."""
    turns = rope.original_max_position_embeddings / (2 * math.pi / frequencies)
    kept = (turns - rope.low_freq_factor) / (rope.high_freq_factor - rope.low_freq_factor)
    kept = kept.clamp(0.0, 1.0)
    return (1 - kept) * frequencies / rope.factor + kept * frequencies
