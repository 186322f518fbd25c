"""Images, audio and video in requests."""

from typing import Literal

from paddock.engine.config.argument import Group, State, arg
from paddock.engine.config.successors import when_true
from paddock.engine.config.values import CountMap, JsonObject, Whole


class MultiModalConfig(Group):
    """Images, audio and video in requests."""

    disable_mm_preprocessor_cache: bool | None = arg(
        None,
        "Old form of mm-processor-cache-gb 0.",
        state=State.DEPRECATED,
        negation=False,
        successor=when_true("multimodal.mm_processor_cache_gb", 0.0),
    )

    interleave_mm_strings: bool = arg(False, "Media placeholders keep their place among the text parts.")

    limit_mm_per_prompt: CountMap = arg({}, "A request with more items of a modality than this is refused.")

    media_io_kwargs: JsonObject = arg(
        {}, "Media are decoded with these per-modality options, such as the number of video frames."
    )

    mm_encoder_tp_mode: Literal["data", "weights"] = arg(
        "weights",
        "Splits the media encoder's weights over the tensor-parallel ranks, or its inputs with full "
        "weights everywhere.",
    )

    mm_processor_cache_gb: float = arg(
        4.0, "GiB of processed media kept per process; 0 switches the cache off.", ge=0
    )

    mm_processor_cache_type: Literal["lru", "shm"] = arg(
        "lru", "Keeps processed media in mirrored per-process LRU caches or in one shared-memory ring."
    )

    mm_processor_kwargs: JsonObject | None = arg(
        None, "The model's own media processor runs with these options, such as a crop count."
    )

    mm_shm_cache_max_object_size_mb: Whole = arg(
        128, "Largest object in MiB that the shared-memory cache stores.", ge=0
    )

    skip_mm_profiling: bool = arg(
        False, "Start-up measures memory with the language model only, so encoder memory is the user's risk."
    )

    video_pruning_rate: float | None = arg(None, "Share of media tokens dropped from each video.", ge=0, lt=1)
