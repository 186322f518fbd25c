"""A LoRA adapter as the engine knows it, and the limits on adapters. Torch-free."""

from dataclasses import dataclass
from typing import Literal

import msgspec


class AdapterError(ValueError):
    """An adapter that cannot be served. The text names its folder and is meant to be printed."""


class Adapter(msgspec.Struct, array_like=True, frozen=True):
    """One load of an adapter. Loaded again, the same name gets another number: nothing of the old one is mixed up."""

    number: int
    """Unique in its engine, from 1 on."""
    name: str
    """What requests call it."""
    path: str
    base_model_name: str | None = None
    """The model it was trained for, where the user said so."""


@dataclass(frozen=True, slots=True)
class AdapterLimits:
    """Of `LoRAConfig`, with what is unset filled in."""

    max_loras: int
    """Different adapters in one step."""
    max_cpu_loras: int
    """Adapters whose weights a worker keeps in host memory."""
    max_rank: int
    dtype: Literal["float32", "bfloat16", "float16"]
    """Of the adapters' weights and of the products with them."""
    fully_sharded: bool = False
    """Whether both factors are split over the tensor-parallel ranks, and not only the one that its layer splits."""
