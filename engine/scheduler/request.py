"""One sequence from its arrival to its last token, as the scheduler knows it."""

from dataclasses import dataclass, field

from paddock.engine.kv_cache.block_table import BlockTable
from paddock.engine.lora.adapter import Adapter
from paddock.engine.messages import PositionLogprobs
from paddock.engine.pooling.params import PoolingParams
from paddock.engine.sampling.params import SamplingParams

Rank = tuple[float, ...]
"""Place in the order of service, smaller first; no two requests have the same."""

NO_ROW = -1


@dataclass(slots=True, eq=False)
class Request:
    """Known tokens are the prompt and what was generated; computed ones have keys and values in the cache."""

    client: bytes
    """Opaque name of who sent it; request ids are unique per client."""

    request_id: str
    token_ids: list[int]
    num_prompt_tokens: int
    sampling: SamplingParams
    table: BlockTable
    rank: Rank

    max_length: int
    """Known tokens at which the request ends: prompt and `max_tokens`, within the context."""

    eos_token_ids: frozenset[int]
    """Empty when the request ignores EOS."""

    ending_token_ids: frozenset[int]
    """EOS and the request's own stop tokens."""

    row: int = NO_ROW
    num_computed_tokens: int = 0
    """Counted when the step that computes them is planned."""

    num_prefill_tokens: int = 0
    """Known tokens when it entered its row: the prompt and, after a preemption, what had been generated."""

    num_pending_tokens: int = 0
    """Tokens that steps under way will sample: they have a place behind `token_ids`, and no value yet."""

    num_prompt_tokens_counted: int = 0
    """Prompt tokens computed at least once, or found in the cache: recomputation is not counted again."""

    num_cached_tokens: int = 0
    scheduled_time: float | None = None
    num_preemptions: int = 0
    prompt_logprobs: list[PositionLogprobs] = field(default_factory=list)
    pooling: PoolingParams | None = None
    """What a pooling model makes of the prompt; it generates nothing."""
    adapter: Adapter | None = None
    """None for the base model."""

    @property
    def is_constrained(self) -> bool:
        """Its next token needs a mask, and the mask all tokens before: no step that samples for it is planned ahead."""
        return self.sampling.constraint is not None

    @property
    def num_generated_tokens(self) -> int:
        return len(self.token_ids) - self.num_prompt_tokens

    @property
    def is_part_way(self) -> bool:
        """Has it been let in without all of its prefill planned?"""
        return self.num_computed_tokens < self.num_prefill_tokens

    @property
    def reads_prefix_cache(self) -> bool:
        """Cached blocks yield no logits, so prompt log-probabilities need every prompt token computed, once; and no
        hidden states, of which pooling may do with the last one's."""
        if self.pooling is not None:
            return self.pooling.pooling == "LAST"
        return self.sampling.prompt_logprobs is None or self.num_generated_tokens > 0
