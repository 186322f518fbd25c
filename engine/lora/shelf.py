"""A worker's adapters: held in host memory, active where the model runs, and at work on the rows that ask for them."""

import os
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from paddock.engine.executor.plan import NewRow, StepPlan
from paddock.engine.layers.placement import Placement
from paddock.engine.lora.adapter import Adapter, AdapterError, AdapterLimits
from paddock.engine.lora.factor_split import FactorSplit, split_of
from paddock.engine.lora.linear import AdaptedLinear, LowRankUpdate, StepGroups
from paddock.engine.lora.sites import META, Site, module_shapes, sites_of
from paddock.engine.lora.weights_file import Factors, read_factors
from paddock.engine.models.decoder_lm import DecoderLM
from paddock.engine.models.shape import ModelShape
from paddock.engine.worker.batch import StepBatch


@dataclass(frozen=True, slots=True)
class AdaptedSite:
    """A layer that asks here for what is to be added, and how an adapter's factors for it lie on the ranks."""

    site: Site
    linear: AdaptedLinear
    split: FactorSplit

    def cut(self, found: Mapping[str, Factors], dtype: torch.dtype) -> "LayerFactors | None":
        """This rank's part of an adapter; None where it leaves the layer alone."""
        factors = self.site.factors(found, dtype)
        return None if factors is None else LayerFactors(self.linear, self.split, *self.split.cut(*factors))

    def most_numbers(self, rank: int) -> int:
        """Of the largest adapter of this rank, on this rank of the model."""
        outputs, inputs = self.site.size
        whole = torch.empty(rank * len(self.site.modules), device=META)
        down, up = self.split.cut(whole[:, None].expand(-1, inputs), whole.expand(outputs, -1))
        return down.numel() + up.numel()


@dataclass(frozen=True, slots=True)
class LayerFactors:
    """A layer, and A and B of one adapter for it."""

    linear: AdaptedLinear
    split: FactorSplit
    down: torch.Tensor
    up: torch.Tensor

    def update(self, device: torch.device) -> LowRankUpdate:
        return LowRankUpdate(self.down.to(device), self.up.to(device), self.split)


class AdapterShelf:
    """Made once the model is packed: from then on its linear layers ask here for what is to be added."""

    def __init__(
        self, model: DecoderLM, shape: ModelShape, place: Placement, limits: AdapterLimits, max_rows: int
    ) -> None:
        self._limits, self._device = limits, place.device
        self._dtype: torch.dtype = getattr(torch, limits.dtype)
        self._shapes = module_shapes(shape)
        self._step = StepGroups()
        self._layers = [
            AdaptedSite(
                site,
                _adapt(site, self._step),
                split_of(site.linear, site.size[0], place, fully=limits.fully_sharded),
            )
            for site in sites_of(model, shape, place)
        ]
        self._held: dict[int, list[LayerFactors]] = {}
        self._active: OrderedDict[int, None] = OrderedDict()
        self._adapter_of_row = np.zeros(max_rows, np.int64)

    @property
    def most_bytes(self) -> int:
        """What adapters may come to take where the model runs; on a CPU those that are held count, too."""
        numbers = sum(layer.most_numbers(self._limits.max_rank) for layer in self._layers)
        held = self._limits.max_cpu_loras if self._device.type == "cpu" else 0
        return numbers * self._dtype.itemsize * (self._limits.max_loras + held)

    @property
    def is_at_work(self) -> bool:
        """Whether some row of the step that has begun asks for an adapter."""
        return bool(self._step.groups)

    def hold(self, adapter: Adapter) -> str | None:
        """Read it into host memory; what is wrong with it, in words for the user, or None."""
        try:
            folder = Path(os.path.expanduser(adapter.path))
            factors = read_factors(folder, self._shapes, self._limits.max_rank)
        except AdapterError as error:
            return str(error)
        cuts = [layer.cut(factors, self._dtype) for layer in self._layers]
        self._held[adapter.number] = [cut for cut in cuts if cut is not None]
        return None

    def drop(self, number: int) -> None:
        """Forget an adapter that no row uses any more; one that is not held is none."""
        self._deactivate(number)
        self._held.pop(number, None)

    def enter(self, new_rows: Sequence[NewRow]) -> None:
        for new in new_rows:
            self._adapter_of_row[new.row] = new.adapter

    def begin(self, plan: StepPlan, batch: StepBatch) -> None:
        """Make the adapters of the step active, and say which of its tokens are whose. Arrays, nothing per token."""
        rows = np.array([scheduled.row for scheduled in plan.scheduled])
        counts = np.array([scheduled.num_scheduled_tokens for scheduled in plan.scheduled])
        order = np.argsort(batch.first_tokens)
        of_token = np.repeat(self._adapter_of_row[rows[order]], counts[order])
        numbers = [int(number) for number in np.unique(of_token) if number]
        self._activate(numbers)
        self._step.groups = [(number, self._tokens(of_token == number)) for number in numbers]

    def _tokens(self, chosen: np.ndarray) -> torch.Tensor | None:
        if chosen.all():
            return None
        return torch.from_numpy(np.flatnonzero(chosen)).to(self._device, non_blocking=True)

    def _activate(self, numbers: Sequence[int]) -> None:
        """The scheduler asks for `max_loras` at most; those used last stay."""
        for number in numbers:
            if number in self._active:
                self._active.move_to_end(number)
        for number in numbers:
            if number in self._active:
                continue
            if len(self._active) == self._limits.max_loras:
                self._deactivate(next(iter(self._active)))
            self._active[number] = None
            for factors in self._held[number]:
                factors.linear.updates[number] = factors.update(self._device)

    def _deactivate(self, number: int) -> None:
        if number in self._active:
            del self._active[number]
            for factors in self._held[number]:
                del factors.linear.updates[number]


def _adapt(site: Site, step: StepGroups) -> AdaptedLinear:
    assert site.linear.multiply is not None, "the model is packed"
    adapted = site.linear.multiply = AdaptedLinear(site.linear.multiply, step)
    return adapted
