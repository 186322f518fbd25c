"""Whether the arguments fit a model that pools; told before anything is loaded. Torch-free."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from paddock.engine.models.shape import ModelShape
from paddock.engine.pooling.plan import PoolingPlan

if TYPE_CHECKING:
    from paddock.engine.config import ServeConfig

AN_ENCODER = "the model is an encoder, in which every token sees all others"


def pooling_problem(config: "ServeConfig", shape: ModelShape) -> str | None:
    """The first thing that is wrong, with what to do; None when nothing is."""
    plan = shape.pooling
    if plan is None:
        asked = config.model.pooler_config
        return (
            None
            if asked is None
            else "--pooler-config is for --runner pooling, and this model generates; leave it out."
        )
    return next(_problems(config, shape, plan), None)


def _problems(config: "ServeConfig", shape: ModelShape, plan: PoolingPlan) -> Iterator[str]:
    if plan.dimensions is not None and plan.dimensions > plan.hidden_size:
        yield (
            f"--pooler-config: dimensions {plan.dimensions} is more than the model's {plan.hidden_size}; use fewer."
        )
    for name, token_ids in (
        ("step_tag_id", (plan.step_tag_id,)),
        ("returned_token_ids", plan.score_token_ids),
    ):
        for token_id in token_ids:
            if token_id is not None and not 0 <= token_id < shape.vocab_size:
                yield (
                    f"--pooler-config: {name} {token_id} is outside the vocabulary of {shape.vocab_size} tokens."
                )
    if config.scheduler.scheduler_cls != "auto":
        yield "--scheduler-cls is for models that generate, and this one pools (--runner pooling); leave it out."
    if config.model.logits_processors:
        yield "--logits-processors are for models that generate, and this one pools (--runner pooling); leave them out."
    if not plan.causal:
        yield from _encoder_problems(config)


def _encoder_problems(config: "ServeConfig") -> Iterator[str]:
    if config.scheduler.enable_chunked_prefill:
        yield f"--enable-chunked-prefill: {AN_ENCODER}, so an input is computed in one piece; leave it out."
    if config.cache.enable_prefix_caching:
        yield f"--enable-prefix-caching: {AN_ENCODER}, so no prefix can be shared; leave it out."
    if config.cache.kv_cache_memory_bytes is not None:
        yield f"--kv-cache-memory-bytes: {AN_ENCODER} at once, and it keeps no cache; leave it out."
    if config.parallel.pipeline_parallel_size > 1:
        yield (
            f"--pipeline-parallel-size {config.parallel.pipeline_parallel_size}: encoders run in one stage; use 1, and "
            "--data-parallel-size for more throughput."
        )
