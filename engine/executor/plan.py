"""A step's plan (scheduler to workers) and its result. Only differences travel: a request keeps its row for life.

A row is an index below `max_num_seqs` that a request holds from admission to its end. A preempted request frees its
row and comes back as a new one, with the tokens it had generated appended to its prompt. The worker remembers each
row's tokens, blocks and sampling state, and appends what it samples.
"""

import msgspec

from paddock.engine.kv_cache.swap_space import BlockCopy
from paddock.engine.messages import PositionLogprobs
from paddock.engine.pooling.params import PooledRows, PoolingParams
from paddock.engine.sampling.params import SamplingParams
from paddock.engine.step_seconds import StepSeconds


class NewRow(msgspec.Struct, array_like=True):
    """A request enters (or, after preemption, re-enters) the batch."""

    row: int
    request_id: str
    token_ids: list[int]
    """Prompt, and what had been generated before a preemption."""
    num_prompt_tokens: int
    sampling: SamplingParams
    """`seed` is always set here."""
    pooling: PoolingParams | None = None
    adapter: int = 0
    """Number of the one whose weights are added; 0 for the base model."""


class ScheduledRow(msgspec.Struct, array_like=True):
    """What one row computes in this step: tokens [num_computed_tokens, num_computed_tokens + num_scheduled_tokens)."""

    row: int
    num_computed_tokens: int
    num_scheduled_tokens: int
    new_block_ids: list[int]
    """Appended to the row's block table; on the row's first step the whole table, cached prefix blocks included."""
    samples: bool
    """True when the last scheduled token is the last known one, so the step yields a new token for this row."""


class StepPlan(msgspec.Struct, array_like=True):
    step: int
    freed_rows: list[int]
    """Rows to forget, before new ones enter."""
    new_rows: list[NewRow]
    scheduled: list[ScheduledRow]
    masked_rows: list[int] = []
    """Sampling rows whose token is to be among those of a mask; `TokenMasks` bring it apart, while the model runs."""
    swapped_out: list[BlockCopy] = []
    """Blocks to copy to host memory before the step writes any: (block, place)."""
    swapped_in: list[BlockCopy] = []
    """After these, blocks to copy back: (place, block)."""


class TokenMasks(msgspec.Struct, array_like=True):
    words: bytes
    """int32 `[masked rows, ceil(vocab / 32)]` in the order of `StepPlan.masked_rows`; token t is allowed when bit
    t % 32 of word t // 32 is set."""


class SampledRow(msgspec.Struct, array_like=True):
    row: int
    token_id: int
    logprobs: PositionLogprobs | None = None
    error: str | None = None
    """Why this row has no token that could be used, in words for the user; its request ends, and only it."""
    pooled: PooledRows | None = None
    """What a pooling model has in place of a token."""


class RowPromptLogprobs(msgspec.Struct, array_like=True):
    """Log-probabilities of prompt tokens [first_token, first_token + len(positions)) that this step computed."""

    row: int
    first_token: int
    positions: list[PositionLogprobs]


class FailedRow(msgspec.Struct, array_like=True):
    """A scheduled row that could not be computed; its request ends, and whatever was built on its blocks is void."""

    row: int
    block_ids: list[int]
    """Where its keys and values should have been written."""
    error: str
    """In words for the user."""


class StepResult(msgspec.Struct, array_like=True):
    step: int
    sampled: list[SampledRow]
    """One entry for each scheduled row with `samples`, in plan order; that of a failed row has its error."""
    prompt_logprobs: list[RowPromptLogprobs] = []
    failed: list[FailedRow] = []
    seconds: StepSeconds | None = None
    """What it took on the rank that answers, where that is timed."""
