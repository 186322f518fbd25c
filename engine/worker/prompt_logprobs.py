"""Log-probabilities of prompt tokens, chunk by chunk."""

from collections.abc import Iterator

import torch

from paddock.engine.executor.plan import RowPromptLogprobs, ScheduledRow, StepPlan
from paddock.engine.messages import PositionLogprobs
from paddock.engine.models.causal_lm import CausalLM
from paddock.engine.sampling.logprobs import position_logprobs
from paddock.engine.sampling.table import SamplingTable
from paddock.engine.worker.batch import StepBatch
from paddock.engine.worker.rows import RowTable

PIECE = 64
"""Positions whose logits exist at the same time: a long chunk of a large vocabulary would take gigabytes."""


def prompt_logprobs(
    model: CausalLM,
    hidden: torch.Tensor,
    plan: StepPlan,
    batch: StepBatch,
    rows: RowTable,
    table: SamplingTable,
) -> Iterator[RowPromptLogprobs]:
    """For each scheduled row that asked. `hidden` is the step's `[tokens, hidden]`."""
    for scheduled, first in zip(plan.scheduled, batch.first_tokens.tolist(), strict=True):
        num_top = table.prompt_logprobs[scheduled.row]
        if num_top is None:
            continue
        targets = _targets(scheduled, rows)
        if targets.numel():
            chunk = hidden[first : first + targets.numel()]
            positions = _in_pieces(model, chunk, targets.to(hidden.device), num_top, table.reports_logits)
            yield RowPromptLogprobs(scheduled.row, scheduled.num_computed_tokens + 1, positions)


def _targets(scheduled: ScheduledRow, rows: RowTable) -> torch.Tensor:
    """The prompt tokens that this step's positions predict: each the next one, up to the prompt's end."""
    first = scheduled.num_computed_tokens + 1
    last = min(first + scheduled.num_scheduled_tokens, int(rows.num_prompt_tokens[scheduled.row]))
    return torch.from_numpy(rows.token_ids[scheduled.row, first:last]).to(torch.int64)


def _in_pieces(
    model: CausalLM, hidden: torch.Tensor, targets: torch.Tensor, num_top: int, as_logits: bool
) -> list[PositionLogprobs]:
    positions: list[PositionLogprobs] = []
    for start in range(0, targets.numel(), PIECE):
        piece = targets[start : start + PIECE]
        logits = model.logits(hidden[start : start + PIECE])
        positions += position_logprobs(logits, piece, [num_top] * piece.numel(), as_logits)
    return positions
