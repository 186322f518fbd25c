"""How the factors of an adapter lie on the tensor-parallel ranks.

By default one of A and B is split with its layer and the other is whole on every rank. `--fully-sharded-loras` splits both,
as S-LoRA does (Sheng et al. 2023), so that no rank holds or computes what another does, for one more exchange of
`[tokens, rank]` numbers in each layer.
"""

from typing import Protocol

import torch
from torch.nn import functional

from paddock.engine.layers.linear import PackableLinear, RowParallelLinear
from paddock.engine.layers.placement import Placement


class FactorSplit(Protocol):
    """Of one layer; what it is given belongs to this rank's part of the layer already."""

    @property
    def outputs(self) -> slice:
        """Those of the layer on this rank that the update is added to."""
        ...

    def cut(self, down: torch.Tensor, up: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """What this rank keeps of A `[rank, inputs]` and of B `[outputs, rank]`."""
        ...

    def join(self, inner: torch.Tensor) -> torch.Tensor:
        """Of A's products `[tokens, ...]` on the ranks, what B is multiplied by."""
        ...


class Unsplit:
    """One factor is split with the layer, and the ranks exchange nothing more than the layer does."""

    outputs = slice(None)

    def cut(self, down: torch.Tensor, up: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return down, up

    def join(self, inner: torch.Tensor) -> torch.Tensor:
        return inner


class SplitRank(Unsplit):
    """For layers whose inputs are whole: each rank has some rows of A, and their products are gathered."""

    def __init__(self, place: Placement) -> None:
        self._place = place

    def cut(self, down: torch.Tensor, up: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Filled up with zeros where the ranks would have unequal parts."""
        missing = -len(down) % self._place.size
        share = (len(down) + missing) // self._place.size
        rows = slice(self._place.rank * share, (self._place.rank + 1) * share)
        return functional.pad(down, (0, 0, 0, missing))[rows].clone(), functional.pad(up, (0, missing))

    def join(self, inner: torch.Tensor) -> torch.Tensor:
        return self._place.all_gather(inner)


class SplitOutputs:
    """For layers whose inputs are split, as A's then are: its products are summed, and each rank has some rows of B."""

    def __init__(self, place: Placement, outputs: int) -> None:
        self._place = place
        first, last = (outputs * rank // place.size for rank in (place.rank, place.rank + 1))
        self.outputs = slice(first, last)

    def cut(self, down: torch.Tensor, up: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return down, up[self.outputs].clone()

    def join(self, inner: torch.Tensor) -> torch.Tensor:
        return self._place.all_reduce(inner)


def split_of(linear: PackableLinear, outputs: int, place: Placement, *, fully: bool) -> FactorSplit:
    """For a layer with so many outputs on this rank."""
    if not fully or place.size == 1:
        return Unsplit()
    return SplitOutputs(place, outputs) if isinstance(linear, RowParallelLinear) else SplitRank(place)
