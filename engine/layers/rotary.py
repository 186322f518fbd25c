"""Tables of the rotary position embedding (Su et al. 2021), with the stretching of long-context checkpoints."""

import torch

from paddock.engine.layers.rotary_frequencies import inverse_frequencies
from paddock.engine.models.rope import RopeShape


class RotaryTable:
    """Cosines and sines of every position below `max_positions`, float32 `[max_positions, rotary_dim / 2]`."""

    def __init__(self, rope: RopeShape, head_dim: int, max_positions: int, device: torch.device) -> None:
        positions = torch.arange(max_positions, dtype=torch.float32)
        angles = positions[:, None] * inverse_frequencies(rope, head_dim, max_positions)
        self.cos = (angles.cos() * rope.attention_scale).to(device)
        self.sin = (angles.sin() * rope.attention_scale).to(device)

    def at(self, positions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Rows for `positions` `[tokens]`."""
        return self.cos.index_select(0, positions), self.sin.index_select(0, positions)
