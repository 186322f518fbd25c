"""The scales of a cache with 8-bit elements."""

from typing import NamedTuple

import torch

FLOAT8 = (torch.float8_e4m3fn, torch.float8_e5m2)
"""Element types whose numbers are too few to go without a scale."""


class CacheScales(NamedTuple):
    """A cache of 8-bit floats holds keys and values divided by these, saturated; any other type ignores them."""

    key: float = 1.0
    value: float = 1.0


UNSCALED = CacheScales()


def to_cache(x: torch.Tensor, scale: float, dtype: torch.dtype) -> torch.Tensor:
    """`x` as a cache of `dtype` keeps it."""
    if dtype not in FLOAT8:
        return x.to(dtype)
    largest = torch.finfo(dtype).max
    return (x.float() / scale).clamp(-largest, largest).to(dtype)


def from_cache(x: torch.Tensor, scale: float) -> torch.Tensor:
    """Float32 again."""
    return x.float() * scale if x.dtype in FLOAT8 else x.float()
