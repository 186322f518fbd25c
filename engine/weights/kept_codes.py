"""Which linear layers keep the codes of a quantized checkpoint, instead of plain numbers made of them."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import torch

from paddock.engine.layers.linear import PackableLinear
from paddock.engine.models.causal_lm import CausalLM
from paddock.engine.models.quantization import GROUPS, StoredWeights
from paddock.engine.weights.input_order import input_order, is_as_it_was
from paddock.engine.weights.linear_layers import linear_layers
from paddock.engine.weights.target import WeightTarget
from paddock.kernels import multiplies_codes

WEIGHT = ".weight"


@dataclass(frozen=True, slots=True)
class KeptCodes:
    """How a module's codes lie in its layer."""

    group: int
    """Neighbours that share a scale."""
    order: torch.Tensor | None
    """int64 `[inputs]`: the module's input at each place; None where each stays at its own."""


def keep_codes(
    model: CausalLM,
    targets: Collection[WeightTarget],
    modules: Collection[str],
    stored: StoredWeights,
    groups: Mapping[str, torch.Tensor],
) -> dict[str, KeptCodes]:
    """Let layers hold codes where all that they are filled from is in codes, and a kernel multiplies by them.

    `modules` are the checkpoint's quantized ones, and `groups` the number of each input's scale in those where neighbours
    share none. Returns the modules whose codes are kept. The model's targets change.
    """
    if stored.method == "fp8":
        return {}
    kept: dict[str, KeptCodes] = {}
    names = _names_by_storage(targets)
    for layer in linear_layers(model):
        assert layer.weight is not None, "nothing is packed yet"
        parts = names.get(layer.weight.untyped_storage().data_ptr(), [])
        group = _shared_scale(layer, stored.group)
        if group is None or not parts or any(part not in modules for part in parts):
            continue
        order = None
        if any(part in groups for part in parts):
            order = _common_order(layer, [groups.get(part) for part in parts], stored.group)
            if order is None:
                continue
            order = None if is_as_it_was(order) else order
        layer.keep_codes(stored.bits, group, order)
        kept |= dict.fromkeys(parts, KeptCodes(group, order))
    return kept


def _common_order(
    layer: PackableLinear, groups: Sequence[torch.Tensor | None], stored: int
) -> torch.Tensor | None:
    """One for all the modules of a layer; None where there is none, or where the layer has a part of the inputs only."""
    assert layer.weight is not None
    first, inputs = groups[0], layer.weight.shape[1]
    if first is None or len(first) != inputs:
        return None
    if any(other is None or not torch.equal(other, first) for other in groups[1:]):
        return None
    return input_order(first, inputs if stored == -1 else stored)


def _names_by_storage(targets: Collection[WeightTarget]) -> Mapping[int, list[str]]:
    names: dict[int, list[str]] = {}
    for target in targets:
        if target.name.endswith(WEIGHT):
            storage = target.destination.untyped_storage().data_ptr()
            names.setdefault(storage, []).append(target.name.removesuffix(WEIGHT))
    return names


def _shared_scale(layer: PackableLinear, stored: int) -> int | None:
    """A stored group, or the largest even part of it where ranks cut groups; None where that leaves plain numbers."""
    assert layer.weight is not None
    share = layer.weight.shape[1]
    group = share if stored == -1 else math.gcd(stored, share)
    if layer.transposed or not multiplies_codes(layer.weight.device, layer.place.dtype):
        return None
    # With fewer inputs to a scale than this, scales and zeros take as much memory as the codes.
    is_coarse = group >= min(GROUPS) or stored in (group, -1)
    return group if is_coarse and group % 4 == 0 else None
