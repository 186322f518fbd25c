"""A step that finds no memory is computed in parts; what does not fit alone fails, and nothing else.

Computing a part twice does no harm: keys and values are written to the same slots, and a row gets its token last.
"""

import logging
from collections.abc import Callable, Sequence

import torch

from paddock.engine.executor.plan import (
    FailedRow,
    RowPromptLogprobs,
    SampledRow,
    ScheduledRow,
    StepPlan,
    StepResult,
)
from paddock.engine.shortage import NO_MEMORY, is_shortage
from paddock.engine.worker.rows import RowTable

logger = logging.getLogger(__name__)


def in_parts(
    compute: Callable[[StepPlan], StepResult], plan: StepPlan, rows: RowTable, splits_prompts: bool
) -> StepResult:
    """The result of a plan whose rows have been entered. Raises what is no lack of memory."""
    try:
        return compute(plan)
    except Exception as error:
        if not is_shortage(error):
            raise
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
    # Here the error is gone, and with it what the failed attempt still held.
    _free_unused()
    halves = _halves(plan.scheduled, splits_prompts)
    num_tokens = sum(scheduled.num_scheduled_tokens for scheduled in plan.scheduled)
    if halves is None:
        logger.error("step %d: %d tokens of one request find no memory: %s", plan.step, num_tokens, reason)
        return _without(plan, rows)
    logger.warning("step %d: %d tokens find no memory and are halved: %s", plan.step, num_tokens, reason)
    parts = [StepPlan(plan.step, [], [], half, plan.masked_rows) for half in halves]
    return _joined(plan.step, [in_parts(compute, part, rows, splits_prompts) for part in parts])


def _halves(scheduled: Sequence[ScheduledRow], splits_prompts: bool) -> list[list[ScheduledRow]] | None:
    """By rows, then by the tokens of the one that is left."""
    if len(scheduled) > 1:
        middle = len(scheduled) // 2
        return [list(scheduled[:middle]), list(scheduled[middle:])]
    only = scheduled[0]
    half = only.num_scheduled_tokens // 2
    if not half or not splits_prompts:
        return None
    middle = only.num_computed_tokens + half
    first = ScheduledRow(only.row, only.num_computed_tokens, half, [], samples=False)
    second = ScheduledRow(only.row, middle, only.num_scheduled_tokens - half, [], only.samples)
    return [[first], [second]]


def _without(plan: StepPlan, rows: RowTable) -> StepResult:
    only = plan.scheduled[0]
    end = only.num_computed_tokens + only.num_scheduled_tokens
    void = slice(only.num_computed_tokens // rows.block_size, -(-end // rows.block_size))
    failed = FailedRow(only.row, rows.block_table[only.row, void].tolist(), NO_MEMORY)
    sampled = [SampledRow(only.row, 0, error=NO_MEMORY)] if only.samples else []
    return StepResult(plan.step, sampled, failed=[failed])


def _joined(step: int, parts: Sequence[StepResult]) -> StepResult:
    sampled: list[SampledRow] = []
    prompts: list[RowPromptLogprobs] = []
    failed: list[FailedRow] = []
    for part in parts:
        sampled += part.sampled
        prompts += part.prompt_logprobs
        failed += part.failed
    return StepResult(step, sampled, prompts, failed)


def _free_unused() -> None:
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
