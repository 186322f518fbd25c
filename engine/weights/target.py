"""Where one tensor of a checkpoint goes."""

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class WeightTarget:
    """The tensor `name` of the checkpoint, of `full_shape`; its part `source` is copied into `destination`.

    `destination` is a view of a (possibly fused) parameter on its final device, so that nothing is ever held twice.
    Several targets may name the same tensor.
    """

    name: str
    full_shape: tuple[int, ...]
    destination: torch.Tensor
    source: tuple[slice, ...] = ()
    """One slice for each leading dimension; empty takes the whole tensor."""
