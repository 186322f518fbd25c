"""Size and element type of the KV cache, and reuse of prefixes."""

from typing import Annotated, Literal

from paddock.engine.config.argument import Group, State, arg
from paddock.engine.config.values import ExactInt, Size, Whole

CUSTOMARY_SWAP_SPACE = 4.0
"""GiB; what is stored in manifests that say nothing of it, whatever device they are for."""


class CacheConfig(Group):
    """Size and element type of the KV cache, and reuse of prefixes."""

    block_size: Annotated[Literal[1, 8, 16, 32, 64, 128], ExactInt] | None = arg(
        None,
        "Tokens in one block of the KV cache; 16 when unset. Smaller blocks waste less memory and share "
        "prefixes more finely.",
        state=State.WORKS,
    )

    calculate_kv_scales: bool = arg(
        False,
        "The scales of an FP8 KV cache are measured at the start, on a made-up text that is always the same; otherwise "
        "they come from the checkpoint or are 1.0.",
        state=State.WORKS,
    )

    cpu_offload_gb: float = arg(
        0.0,
        "GiB of weights per GPU that stay in host memory: as many whole layers as fit, each copied to the GPU while the "
        "one before it computes. On a CPU all weights are in host memory, and it is refused.",
        state=State.WORKS,
        ge=0,
    )

    enable_prefix_caching: bool | None = arg(
        None,
        "Blocks of a prompt prefix seen before are reused instead of computed again; on when unset.",
        state=State.WORKS,
    )

    gpu_memory_utilization: float = arg(
        0.9,
        "Share of each device's memory that this instance may use for weights, activations and KV "
        "cache. On a CPU it is a share of the free memory.",
        state=State.WORKS,
        gt=0,
        le=1,
    )

    kv_cache_dtype: Literal["auto", "bfloat16", "fp8", "fp8_e4m3", "fp8_e5m2", "fp8_inc"] = arg(
        "auto",
        "Element type of the KV cache; auto follows the model. fp8 is fp8_e4m3; keys and values are divided by the "
        "checkpoint's k_scale and v_scale, by 1 without them (see calculate-kv-scales), and saturate.",
        state=State.WORKS,
        refused_values={"fp8_inc": "it exists on Intel Gaudi only, which this engine does not serve"},
    )

    kv_cache_memory_bytes: Size | None = arg(
        None,
        "Size of the KV cache per device in bytes, chosen by hand; gpu-memory-utilization then no "
        "longer sizes it.",
        state=State.WORKS,
        ge=1,
    )

    kv_sharing_fast_prefill: bool = arg(
        False, "Layers that share another layer's KV may skip prefill tokens."
    )

    mamba_cache_dtype: Literal["auto", "float32"] = arg(
        "auto", "Element type of the convolution and state caches of Mamba layers; auto follows the model."
    )

    mamba_ssm_cache_dtype: Literal["auto", "float32"] = arg(
        "auto", "Element type of the state cache alone; auto follows --mamba-cache-dtype."
    )

    num_gpu_blocks_override: Whole | None = arg(
        None,
        "Uses exactly this many KV blocks instead of the number that fits, mainly to provoke preemption "
        "in tests.",
        state=State.WORKS,
        ge=1,
    )

    prefix_caching_hash_algo: Literal["sha256", "sha256_cbor"] = arg(
        "sha256_cbor",
        "The hash by which equal prefix blocks are recognised. sha256_cbor gives the same keys in every "
        "process and language; sha256 is quicker, with keys that only its own engine can compute.",
        state=State.WORKS,
    )

    swap_space: float = arg(
        CUSTOMARY_SWAP_SPACE,
        "GiB of host memory per GPU for the blocks of preempted requests, which are copied back when the request "
        "returns; what finds no room is computed again. 4 is meant for memory beside a GPU (at most half of the free "
        "host memory, allocated as it is used): on a CPU, where the cache is in host memory already, it means none, "
        "and any other number that many.",
        state=State.WORKS,
        ge=0,
    )
