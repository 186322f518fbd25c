"""A linear layer whose packed weight has its inputs in another order than the layer itself."""

import torch

from paddock.kernels import QuantizedLinear


class ReorderedLinear:
    """Implements `QuantizedLinear` over another one."""

    def __init__(self, packed: QuantizedLinear, order: torch.Tensor) -> None:
        """`order` int64 `[inputs]`: the layer's input that stands at each place of the packed weight."""
        self._packed, self._order = packed, order

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return self._packed(x.index_select(-1, self._order))

    @property
    def nbytes(self) -> int:
        return self._packed.nbytes + self._order.nbytes

    def rows(self, indices: torch.Tensor) -> torch.Tensor:
        """See `PackedLinear`: the inputs are back in the layer's order."""
        rows = self._packed.rows(indices)
        return torch.empty_like(rows).index_copy_(-1, self._order, rows)
