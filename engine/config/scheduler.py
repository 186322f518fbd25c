"""What runs in each engine step."""

from typing import Literal

from paddock.engine.config.argument import Group, State, arg
from paddock.engine.config.values import BatchSizes, Size, Text, Whole


class SchedulerConfig(Group):
    """What runs in each engine step."""

    async_scheduling: bool = arg(
        False, "The next step is scheduled while the current one runs.", state=State.WORKS
    )

    cuda_graph_sizes: BatchSizes = arg(
        (),
        "Numbers of running requests for which a decode step is captured in a CUDA graph: several are exactly those; one is "
        "the largest of 1, 2, 4 and every eighth; unset that is 512, or --max-num-seqs where it is less. A step between "
        "two sizes is filled up to the next, one beyond them runs eagerly. A CPU has no graphs.",
        state=State.WORKS,
    )

    disable_chunked_mm_input: bool = arg(False, "A media item is never cut across two steps.")

    disable_hybrid_kv_cache_manager: bool = arg(
        False,
        "All attention layers get KV cache of one size, even where sliding-window layers would need less.",
    )

    enable_chunked_prefill: bool | None = arg(
        None,
        "Long prompts are computed in pieces that fill what is left of a step's token budget; on when unset.",
        state=State.WORKS,
    )

    long_prefill_token_threshold: Whole = arg(
        0,
        "Prompts longer than this count as long, and a step computes at most this many tokens of one. 0: none is "
        "long, or with several partial prefills those longer than 4 % of the context.",
        state=State.WORKS,
        ge=0,
    )

    max_long_partial_prefills: Whole = arg(
        1,
        "Long prompts that may be part-way through prefill at the same time; shorter ones overtake those that wait.",
        state=State.WORKS,
        ge=1,
    )

    max_num_batched_tokens: Size | None = arg(
        None,
        "Most tokens computed in one engine step; unset it is 2048 (512 with pipeline stages, which then work on one "
        "prompt at the same time), or as many as the other arguments ask for. "
        "More favours throughput, fewer favour the time between tokens.",
        state=State.WORKS,
        ge=1,
    )

    max_num_partial_prefills: Whole = arg(
        1, "Prompts that may be part-way through prefill at the same time.", state=State.WORKS, ge=1
    )

    max_num_seqs: Whole | None = arg(
        None, "Most requests running at once; 256 when unset.", state=State.WORKS, ge=1
    )

    num_lookahead_slots: Whole = arg(0, "Spare KV slots per sequence for draft tokens.", ge=0)

    scheduler_cls: Text = arg(
        "auto",
        "Dotted path of the class that schedules requests, a "
        "paddock.engine.scheduler.interface.SchedulerInterface; auto is the engine's own.",
        state=State.WORKS,
    )

    scheduling_policy: Literal["fcfs", "priority"] = arg(
        "fcfs",
        "fcfs serves requests in order of arrival; priority by their priority number (lower first), "
        "then arrival.",
        state=State.WORKS,
    )
