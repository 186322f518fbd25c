"""The limits on adapters that the arguments and the model give. Torch-free."""

from typing import TYPE_CHECKING, Literal

from paddock.engine.lora.adapter import AdapterLimits
from paddock.engine.models.shape import ModelShape

if TYPE_CHECKING:
    from paddock.engine.config import ServeConfig

DataType = Literal["float32", "bfloat16", "float16"]


def lora_problem(config: "ServeConfig", shape: ModelShape) -> str | None:
    """Why this model takes no adapters, in words for the user; None when it does, or none are asked for."""
    if not config.lora.enable_lora:
        return None
    if shape.pooling is not None:
        return (
            "--enable-lora: adapters are added to models that generate, and this one pools; leave it out, or merge the "
            "adapter into the model."
        )
    if not shape.native:
        return (
            f"--enable-lora: {shape.architecture} runs through transformers, and adapters are added to the engine's own "
            "models only; merge the adapter into the model."
        )
    return None


def adapter_limits(config: "ServeConfig", dtype: DataType) -> AdapterLimits | None:
    """None where no adapters are served. `dtype` is that of the computation."""
    lora = config.lora
    if not lora.enable_lora:
        return None
    return AdapterLimits(
        max_loras=lora.max_loras,
        max_cpu_loras=lora.max_cpu_loras or lora.max_loras,
        max_rank=lora.max_lora_rank,
        dtype=dtype if lora.lora_dtype == "auto" else lora.lora_dtype,
        fully_sharded=lora.fully_sharded_loras,
    )
