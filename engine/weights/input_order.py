"""Inputs that were quantized by their weight in the output, the heaviest first ("act order", GPTQ's `desc_act`).

Neighbours then share no scale. Laid side by side, the inputs of each scale are again a run, as kernels want them.
"""

import torch


def input_order(groups: torch.Tensor, group: int) -> torch.Tensor | None:
    """int64 `[inputs]`: which input is to stand at each place, so that each `group` neighbours share a scale.

    `groups` `[inputs]` is the number of each input's scale. None where they are not runs of that length in any order.
    """
    ordered, order = groups.sort(stable=True)
    return order if torch.equal(ordered, torch.arange(len(groups)) // group) else None


def is_as_it_was(order: torch.Tensor) -> bool:
    """Whether every input stays in its place."""
    return torch.equal(order, torch.arange(len(order)))
