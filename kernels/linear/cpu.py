"""Linear layers on the compiled kernel: float32 sums, the weight read once where it lies."""

import torch

from paddock.kernels import native


class CpuLinear:
    """A linear layer over a shared weight. An output's bits do not depend on the other rows of the batch."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        self.weight = weight.detach().contiguous()
        self.bias = None if bias is None else bias.detach().to(weight.dtype).contiguous()
        self._element = native.ELEMENT[weight.dtype]
        self._out_features, self._in_features = weight.shape

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        assert native.library is not None
        assert x.dtype == self.weight.dtype
        assert x.shape[-1] == self._in_features
        rows = x if x.dim() == 2 and x.stride(1) == 1 else x.reshape(-1, self._in_features).contiguous()
        out = rows.new_empty(rows.shape[0], self._out_features)
        native.library.linear(
            self._element,
            torch.get_num_threads(),
            rows.data_ptr(),
            self.weight.data_ptr(),
            0 if self.bias is None else self.bias.data_ptr(),
            out.data_ptr(),
            rows.shape[0],
            self._in_features,
            self._out_features,
            rows.stride(0),
        )
        return out if x.dim() == 2 else out.view(*x.shape[:-1], self._out_features)
