"""Weights that are rounded to codes when the model is loaded (`--quantization int8`, `int4`)."""

import torch

from paddock.engine.layers.placement import Placement
from paddock.engine.models.errors import CheckpointError
from paddock.engine.models.quantization import GROUPS
from paddock.kernels import PackedLinear, QuantizedLinear, pack_linear, pack_quantized, round_to_nearest


def scale_group(inputs: int, place: Placement, share: int) -> int | None:
    """How many neighbours of a layer's `inputs` share a scale; None when weights stay as they are.

    It goes by all inputs and not by this rank's `share`, so that every number of ranks rounds to the same weights.
    Raises `CheckpointError` when it does not divide them.
    """
    if place.rounded_bits is None:
        return None
    if place.device.type == "cuda":
        raise CheckpointError(
            f"--quantization int{place.rounded_bits}: no kernel multiplies by codes on a GPU yet; leave --quantization out."
        )
    if place.dtype == torch.float16:
        raise CheckpointError(
            f"--quantization int{place.rounded_bits}: no kernel multiplies float16 by codes; use --dtype bfloat16 or float32."
        )
    group = next((group for group in GROUPS if inputs % group == 0), None)
    if group is None:
        raise CheckpointError(
            f"--quantization int{place.rounded_bits}: a layer has {inputs} inputs, no multiple of the {GROUPS[-1]} "
            "that share a scale; leave --quantization out."
        )
    if share % group:
        raise CheckpointError(
            f"--quantization int{place.rounded_bits}: groups of {group} inputs share a scale, and --tensor-parallel-size "
            f"{place.size} would cut one, since a rank has {share} of {inputs}; use another --tensor-parallel-size."
        )
    return group


def pack(
    weight: torch.Tensor, bias: torch.Tensor | None, bits: int | None, group: int | None
) -> PackedLinear:
    """`weight` `[out, in]` as the kernels take it, rounded first when there is a group."""
    if bits is None or group is None:
        return pack_linear(weight, bias)
    return pack_quantized(round_to_nearest(weight, bits, group), bias, dtype=weight.dtype)


def saved_bytes(weight: torch.Tensor, packed: PackedLinear) -> int:
    """How much less the codes of a layer take than its plain weight, with scales and zeros."""
    return weight.nbytes - packed.nbytes if isinstance(packed, QuantizedLinear) else 0
