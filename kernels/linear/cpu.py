"""Linear layers on the compiled kernel: float32 sums over a weight that was rearranged once."""

import math

import numpy as np
import torch

from paddock.kernels import native

PANEL = 32
"""Outputs that lie side by side in a packed weight."""

CACHE_LINE = 64
"""Bytes; vectors that straddle two lines load at half the speed."""


def aligned_empty(shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    """Begins at a cache line. From numpy, which asks for large pages where torch does not: a decode step walks all of
    the weight's pages.
    """
    size = math.prod(shape) * dtype.itemsize
    raw = torch.from_numpy(np.empty(size + CACHE_LINE, np.uint8))
    start = -raw.data_ptr() % CACHE_LINE
    return raw[start : start + size].view(dtype).view(shape)


class CpuLinear:
    """A linear layer over a packed copy of its weight. An output's bits do not depend on the rest of the batch."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        assert native.library is not None
        weight = weight.detach().contiguous()
        self.out_features, self.in_features = weight.shape
        self._element = native.ELEMENT[weight.dtype]
        self.packed = aligned_empty((-(-self.out_features // PANEL), self.in_features, PANEL), weight.dtype)
        self.bias = None if bias is None else bias.detach().to(weight.dtype).contiguous()
        native.library.pack(
            self._element,
            torch.get_num_threads(),
            weight.data_ptr(),
            self.packed.data_ptr(),
            self.in_features,
            self.out_features,
        )

    @property
    def dtype(self) -> torch.dtype:
        """Of inputs and outputs."""
        return self.packed.dtype

    @property
    def weight_fields(self) -> tuple[int, ...]:
        """The compiled kernels' `LinearWeight`: addresses of numbers without scales, and sizes."""
        bias = 0 if self.bias is None else self.bias.data_ptr()
        return self.packed.data_ptr(), bias, 0, 0, self.in_features, self.out_features, 0, 0, 0

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        assert native.library is not None
        assert x.dtype == self.packed.dtype
        assert x.shape[-1] == self.in_features
        rows = as_rows(x)
        out = rows.new_empty(rows.shape[0], self.out_features)
        native.library.linear(
            self._element,
            torch.get_num_threads(),
            rows.data_ptr(),
            self.packed.data_ptr(),
            0 if self.bias is None else self.bias.data_ptr(),
            out.data_ptr(),
            rows.shape[0],
            self.in_features,
            self.out_features,
            rows.stride(0),
        )
        return out if x.dim() == 2 else out.view(*x.shape[:-1], self.out_features)

    def rows(self, indices: torch.Tensor) -> torch.Tensor:
        assert native.library is not None
        out = self.packed.new_empty(len(indices), self.in_features)
        if not len(indices):
            return out
        indices = checked_rows(indices, self.out_features)
        native.library.lookup(
            self._element,
            torch.get_num_threads(),
            self.packed.data_ptr(),
            indices.data_ptr(),
            out.data_ptr(),
            len(indices),
            self.in_features,
        )
        return out


def as_rows(x: torch.Tensor) -> torch.Tensor:
    """`[..., features]` as `[rows, features]` whose rows are contiguous; a copy only where they are not."""
    return x if x.dim() == 2 and x.stride(1) == 1 else x.reshape(-1, x.shape[-1]).contiguous()


def checked_rows(indices: torch.Tensor, count: int) -> torch.Tensor:
    """int64 and contiguous; at least one. Raises IndexError for what is not among `count` rows."""
    indices = indices.to(torch.int64).contiguous()
    numbers = indices.numpy()
    # As unsigned numbers, those below zero are the largest.
    if numbers.view(np.uint64).max() >= count:
        raise IndexError(f"rows {numbers.min()} to {numbers.max()} of a weight with {count} rows")
    return indices
