"""Which linear layers keep the codes of a quantized checkpoint, instead of plain numbers made of them."""

import math
from collections.abc import Collection, Mapping

from paddock.engine.layers.linear import PackableLinear
from paddock.engine.models.causal_lm import CausalLM
from paddock.engine.models.quantization import GROUPS, StoredWeights
from paddock.engine.weights.linear_layers import linear_layers
from paddock.engine.weights.target import WeightTarget
from paddock.kernels import multiplies_codes

WEIGHT = ".weight"


def keep_codes(
    model: CausalLM, targets: Collection[WeightTarget], modules: Collection[str], stored: StoredWeights
) -> dict[str, int]:
    """Let layers hold codes where all that they are filled from is in codes, and a kernel multiplies by them.

    `modules` are the checkpoint's quantized ones. Returns those whose codes are kept, and how many of their inputs share a
    scale in the layer. The model's targets change.
    """
    if stored.method == "fp8":
        return {}
    kept: dict[str, int] = {}
    names = _names_by_storage(targets)
    for layer in linear_layers(model):
        assert layer.weight is not None, "nothing is packed yet"
        parts = names.get(layer.weight.untyped_storage().data_ptr(), [])
        group = _shared_scale(layer, stored.group)
        if group is not None and parts and all(part in modules for part in parts):
            layer.keep_codes(stored.bits, group)
            kept |= dict.fromkeys(parts, group)
    return kept


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
