"""Large zeroed tensors that cost nothing until they are used."""

from collections.abc import Sequence

import numpy as np
import torch

CACHE_LINE = 64
"""Bytes; vectors that straddle two lines load at half the speed."""


def zeroed(shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """Like `torch.zeros`, but on a CPU the pages stay unmapped until touched: torch would write each one.

    A cache of gigabytes is then there at once, and memory use follows what was really stored.
    """
    if device.type != "cpu":
        return torch.zeros(tuple(shape), dtype=dtype, device=device)
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    raw = torch.from_numpy(np.zeros(size + CACHE_LINE, np.uint8))
    start = -raw.data_ptr() % CACHE_LINE
    return raw[start : start + size].view(dtype).view(tuple(shape))
