"""Linear layers on the compiled kernel, their weights in codes."""

import torch
from torch.nn import functional

from paddock.kernels import native
from paddock.kernels.linear.cpu import PANEL, aligned_empty, as_rows, checked_rows
from paddock.kernels.linear.quantized import ROWS_AT_ONCE, QuantizedWeight


class CpuQuantizedLinear:
    """A linear layer over panels of codes. An output's bits do not depend on the rest of the batch."""

    def __init__(self, weight: QuantizedWeight, bias: torch.Tensor | None, dtype: torch.dtype) -> None:
        self.out_features, self.in_features = weight.codes.shape
        self._bits, self._group = weight.bits, weight.group
        self.dtype, self._element = dtype, native.ELEMENT[dtype]
        self.packed = _panels_of_codes(weight)
        self._scales = _aligned(_panels(weight.scales))
        self._zeros = None if weight.zeros is None else _aligned(_panels(weight.zeros))
        self.bias = None if bias is None else bias.detach().to(dtype).contiguous()

    @property
    def weight_fields(self) -> tuple[int, ...]:
        """The compiled kernels' `LinearWeight`: addresses and sizes."""
        optional = (0 if part is None else part.data_ptr() for part in (self.bias, self._scales, self._zeros))
        sizes = self.in_features, self.out_features, self._group, self._scales.shape[1], self._bits
        return self.packed.data_ptr(), *optional, *sizes

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        assert native.library is not None
        assert x.dtype == self.dtype
        assert x.shape[-1] == self.in_features
        rows = as_rows(x)
        out = rows.new_empty(rows.shape[0], self.out_features)
        native.library.linear_quantized(
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
            self._scales.data_ptr(),
            0 if self._zeros is None else self._zeros.data_ptr(),
            self._group,
            self._scales.shape[1],
            self._bits,
        )
        return out if x.dim() == 2 else out.view(*x.shape[:-1], self.out_features)

    @property
    def nbytes(self) -> int:
        return sum(part.nbytes for part in (self.packed, self._scales, self._zeros) if part is not None)

    def rows(self, indices: torch.Tensor) -> torch.Tensor:
        assert native.library is not None
        out = torch.empty(len(indices), self.in_features, dtype=self.dtype)
        if not len(indices):
            return out
        indices = checked_rows(indices, self.out_features)
        native.library.lookup_quantized(
            self._element,
            torch.get_num_threads(),
            self.packed.data_ptr(),
            self._scales.data_ptr(),
            0 if self._zeros is None else self._zeros.data_ptr(),
            indices.data_ptr(),
            out.data_ptr(),
            len(indices),
            self.in_features,
            self._group,
            self._scales.shape[1],
            self._bits,
        )
        return out


def _panels(values: torch.Tensor) -> torch.Tensor:
    """`[out, n]` to `[panels, n, 32]`; outputs past the end are zero."""
    padded = functional.pad(values, (0, 0, 0, -len(values) % PANEL))
    return padded.view(-1, PANEL, values.shape[1]).transpose(1, 2)


def _panels_of_codes(weight: QuantizedWeight) -> torch.Tensor:
    """int8 `[panels, in, 32]`, or uint8 `[panels, in / 4, 16, 4]` of two codes each: outputs `i` and `i + 16`.

    In strips: a vocabulary's codes take a gigabyte, and are not to be held a third and a fourth time.
    """
    outs, ins = weight.codes.shape
    count = -(-outs // PANEL)
    shape, dtype = (
        ((count, ins, PANEL), torch.int8) if weight.bits == 8 else ((count, ins // 4, 16, 4), torch.uint8)
    )
    packed = aligned_empty(shape, dtype)
    for first in range(0, outs, ROWS_AT_ONCE):
        panels = _panels(weight.codes[first : first + ROWS_AT_ONCE])
        if weight.bits == 4:
            nibbles = (panels.contiguous().view(torch.uint8) & 15).view(len(panels), ins // 4, 4, 2, 16)
            panels = (nibbles[:, :, :, 0] | nibbles[:, :, :, 1] << 4).transpose(2, 3)
        packed[first // PANEL :][: len(panels)] = panels
    return packed


def _aligned(values: torch.Tensor) -> torch.Tensor:
    return aligned_empty(tuple(values.shape), values.dtype).copy_(values)
