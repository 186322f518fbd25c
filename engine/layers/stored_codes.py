"""A weight whose checkpoint is quantized already, between its allocation and its packing (GPTQ, AWQ)."""

from collections.abc import Iterator

import torch

from paddock.engine.weights.target import WeightTarget
from paddock.kernels import QuantizedWeight


class StoredCodes:
    """Signed codes `[outputs, inputs]`, and a scale and a zero for each output and `group` inputs."""

    def __init__(
        self, outputs: int, inputs: int, bits: int, group: int, order: torch.Tensor | None = None
    ) -> None:
        """`order` int64 `[inputs]`: the layer's input at each place of the codes; None is each at its own."""
        self.bits, self.group, self.order = bits, group, order
        self.codes = torch.empty(outputs, inputs, dtype=torch.int8)
        self.scales, self.zeros = (torch.empty(outputs, inputs // group) for _ in range(2))

    def targets(
        self, name: str, full: tuple[int, int], rows: slice, source: tuple[slice, slice]
    ) -> Iterator[WeightTarget]:
        """For the part `source` of the checkpoint's matrix `name` of shape `full` (outputs, inputs)."""
        outputs, inputs = source
        groups = slice(inputs.start // self.group, inputs.stop // self.group)
        grouped = (full[0], full[1] // self.group)
        yield WeightTarget(f"{name}.codes", full, self.codes[rows], source)
        yield WeightTarget(f"{name}.scales", grouped, self.scales[rows], (outputs, groups))
        yield WeightTarget(f"{name}.zeros", grouped, self.zeros[rows], (outputs, groups))

    def weight(self) -> QuantizedWeight:
        """Call once all is filled. Codes around zero need no zeros, and are multiplied by faster."""
        zeros = self.zeros if self.zeros.any() else None
        return QuantizedWeight(self.codes, self.scales, zeros, self.bits, self.group)
