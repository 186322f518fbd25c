"""Adapters that requests can select."""

from typing import Literal

from paddock.engine.config.argument import Group, State, arg
from paddock.engine.config.values import TextMap, Whole


class LoRAConfig(Group):
    """Adapters that requests can select."""

    default_mm_loras: TextMap | None = arg(
        None, "Adapter applied on its own whenever a request contains that modality."
    )

    enable_lora: bool | None = arg(None, "Requests may select LoRA adapters.", state=State.WORKS)

    enable_lora_bias: bool | None = arg(
        None,
        "Adapters with bias terms are accepted.",
        state=State.REFUSED,
        reason="adapters with bias terms are not served; the dialect dropped them without a successor",
    )

    fully_sharded_loras: bool = arg(
        False,
        "All of the adapter computation is split over tensor-parallel ranks instead of half of it: less memory, and one "
        "more exchange between the ranks in each layer.",
        state=State.WORKS,
    )

    lora_dtype: Literal["auto", "bfloat16", "float16"] = arg(
        "auto", "Element type of adapter weights; auto follows the model.", state=State.WORKS
    )

    lora_extra_vocab_size: Whole | None = arg(
        None,
        "Room for tokens that adapters add to the vocabulary.",
        state=State.REFUSED,
        ge=0,
        reason="adapters cannot add tokens; the dialect dropped this without a successor",
    )

    max_cpu_loras: Whole | None = arg(
        None,
        "Adapters kept ready in host memory; as many as --max-loras when unset.",
        ge=1,
        state=State.WORKS,
    )

    max_lora_rank: Whole = arg(
        16, "Adapters with a higher rank than this are refused.", ge=1, state=State.WORKS
    )

    max_loras: Whole = arg(1, "Different adapters that may run in one batch.", ge=1, state=State.WORKS)
