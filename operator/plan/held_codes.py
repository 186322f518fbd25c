"""Weights that an engine keeps in codes of a few bits: as `quantization` asks, or as the checkpoint's configuration says.

Pure. The methods are the engine's; what it makes plain numbers of takes a plain model's memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from paddock.engine.config import ServeConfig

_ROUNDED = {"int8": 8, "int4": 4}
_ROUNDING_GROUPS = (128, 64, 32)
_SCALE_BYTES = 4
_WITH_KERNEL = ("bfloat16", "float32", "float", "auto")
"""Data types whose products with codes have a kernel, on CPUs; elsewhere a checkpoint's codes are made plain."""

Matrix = tuple[int, int]
"""Inputs and outputs."""


@dataclass(frozen=True)
class HeldCodes:
    """`groups`: the first that divides a layer's inputs share a scale; -1 is all of them."""

    bits: int
    groups: tuple[int, ...]
    bytes_per_group: int = _SCALE_BYTES
    head_bits: int | None = None
    """Of the output head, where that is in codes too."""

    def matrix_bytes(self, matrix: Matrix, bits: int) -> int:
        inputs, outputs = matrix
        group = next((group for group in self.groups if group > 0 and inputs % group == 0), inputs)
        return outputs * inputs * bits // 8 + outputs * (inputs // group) * self.bytes_per_group

    def saved_bytes(self, layers: Iterable[Matrix], head: Matrix, element: int) -> int:
        """How much less than plain numbers of `element` bytes."""
        coded = [(matrix, self.bits) for matrix in layers]
        if self.head_bits is not None:
            coded.append((head, self.head_bits))
        return sum(
            matrix[0] * matrix[1] * element - self.matrix_bytes(matrix, bits) for matrix, bits in coded
        )


PLAIN = HeldCodes(0, ())
"""Of a model without codes; its `saved_bytes` has no meaning."""


def held_codes(
    config: ServeConfig, fields: Mapping[str, Any], *, on_cpus: bool, has_experts: bool
) -> HeldCodes | None:
    """`PLAIN` where plain numbers are kept; None where the engine has no such method, or says itself what it holds."""
    asked, stored = config.model.quantization, fields.get("quantization_config")
    if not stored:
        return _rounded(asked, has_experts=has_experts)
    if not isinstance(stored, Mapping) or asked not in (None, stored.get("quant_method")):
        return None
    if stored.get("quant_method") == "fp8":
        return PLAIN
    if stored.get("quant_method") not in ("gptq", "awq"):
        return None
    if stored.get("desc_act") and config.parallel.tensor_parallel_size > 1:
        # Ranks that split a layer's inputs make plain numbers of its codes.
        return None
    return _stored(stored) if on_cpus and config.model.dtype in _WITH_KERNEL else PLAIN


def _rounded(asked: str | None, *, has_experts: bool) -> HeldCodes | None:
    if asked is None:
        return PLAIN
    if asked not in _ROUNDED or has_experts:
        return None
    return HeldCodes(_ROUNDED[asked], _ROUNDING_GROUPS, head_bits=8)


def _stored(stored: Mapping[str, Any]) -> HeldCodes | None:
    """Symmetric codes have no zeros. Layers that a configuration leaves out by name are not counted here."""
    bits, group = stored.get("bits", 4), stored.get("group_size", 128)
    left_out = [name for name in stored.get("modules_to_not_convert") or () if name != "lm_head"]
    if bits not in (4, 8) or not isinstance(group, int) or left_out or stored.get("dynamic"):
        return None
    symmetric = stored["quant_method"] == "gptq" and stored.get("sym", True)
    return HeldCodes(bits, (group,), _SCALE_BYTES * (1 if symmetric else 2))
