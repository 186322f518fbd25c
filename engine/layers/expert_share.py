"""Which experts a rank holds, and how much of each."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import torch

from paddock.engine.layers.mlp import FEATURES
from paddock.engine.layers.placement import Placement


@dataclass(frozen=True)
class ExpertShare:
    experts: Sequence[int]
    """Their numbers, in the order of the rank's slots."""
    num_experts: int
    """Of the layer."""
    features: slice
    """Of each expert's `size` features."""
    size: int

    @classmethod
    def of(cls, num_experts: int, size: int, place: Placement) -> Self:
        """A slice of every expert, or with `--enable-expert-parallel` all of some.

        Raises `ValueError` when the ranks cannot share.
        """
        if place.expert_placement is None:
            width = place.share(size, FEATURES)
            features = slice(place.rank * width, (place.rank + 1) * width)
            return cls(range(num_experts), num_experts, features, size)
        return cls(_experts_of(num_experts, place), num_experts, slice(0, size), size)

    @property
    def width(self) -> int:
        """Features of each expert that are held here."""
        return int(self.features.stop - self.features.start)

    @property
    def is_whole(self) -> bool:
        """Whether no other rank adds to what the experts here make."""
        return self.width == self.size

    def slots(self, device: torch.device) -> torch.Tensor | None:
        """int64 `[experts]`: where each expert is here, -1 for elsewhere; None when all are here."""
        if len(self.experts) == self.num_experts:
            return None
        made = torch.full((self.num_experts,), -1)
        made[list(self.experts)] = torch.arange(len(self.experts))
        return made.to(device)

    def runs(self) -> Iterator[tuple[slice, slice]]:
        """Slots, and the neighbouring experts that fill them, for checkpoints that stack all experts in one tensor."""
        first = 0
        for slot, expert in enumerate(self.experts):
            if slot + 1 == len(self.experts) or self.experts[slot + 1] != expert + 1:
                count = slot + 1 - first
                yield slice(first, slot + 1), slice(expert + 1 - count, expert + 1)
                first = slot + 1


def _experts_of(num_experts: int, place: Placement) -> range:
    sharers = place if place.experts is None else place.experts
    rank, size = sharers.rank, sharers.size
    if place.expert_placement == "round_robin":
        return range(rank, num_experts, size)
    # What does not divide goes to the first ranks.
    each, rest = divmod(num_experts, size)
    first = rank * each + min(rank, rest)
    return range(first, first + each + (rank < rest))
