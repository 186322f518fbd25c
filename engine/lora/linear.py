"""Linear layers whose output some tokens of a step get more of: LoRA (Hu et al. 2021), y = W x + scale B A x."""

from dataclasses import dataclass, field

import torch

from paddock.engine.lora.factor_split import FactorSplit, Unsplit
from paddock.kernels import PackedLinear, pack_linear

UNSPLIT = Unsplit()


class LowRankUpdate:
    """`[tokens, inputs]` to `[tokens, outputs]` by two small products, to be added to some outputs of a layer."""

    def __init__(self, down: torch.Tensor, up: torch.Tensor, split: FactorSplit = UNSPLIT) -> None:
        """`down` is `[rank, inputs]`, `up` `[outputs, rank]`, both cut by `split`; of fused layers the ranks lie side by
        side."""
        self._down, self._up = pack_linear(down), pack_linear(up)
        self._dtype, self._split = down.dtype, split

    @property
    def outputs(self) -> slice:
        """What it is added to."""
        return self._split.outputs

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return self._up(self._split.join(self._down(x.to(self._dtype)))).to(x.dtype)


@dataclass(slots=True)
class StepGroups:
    """Which tokens of the step under way go with which adapter; shared by all layers of a model."""

    groups: list[tuple[int, torch.Tensor | None]] = field(default_factory=list)
    """Adapter number, and the indices of its tokens; None when it has all of them."""


class AdaptedLinear:
    """A packed linear layer and what the active adapters add to it, each to its own tokens.

    Inputs split over ranks (`RowParallelLinear`) need nothing more: each rank adds its part before they are summed.
    """

    def __init__(self, base: PackedLinear, step: StepGroups) -> None:
        self._base, self._step = base, step
        self.updates: dict[int, LowRankUpdate] = {}
        """By number of the adapter; one that leaves this layer alone is not there."""

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        output = self._base(x)
        for number, tokens in self._step.groups:
            update = self.updates.get(number)
            if update is None:
                continue
            if tokens is None:
                output[:, update.outputs] += update(x)
            else:
                output[:, update.outputs].index_add_(0, tokens, update(x.index_select(0, tokens)))
        return output

    def rows(self, indices: torch.Tensor) -> torch.Tensor:
        """Of the layer's own weight."""
        return self._base.rows(indices)
