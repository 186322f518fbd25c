"""From the hidden states of a step to the results of the inputs that end with it."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch.nn import functional

from paddock.engine.executor.plan import SampledRow, ScheduledRow, StepPlan
from paddock.engine.models.causal_lm import CausalLM
from paddock.engine.pooling.params import PooledRows, PoolingParams
from paddock.engine.pooling.plan import PoolingPlan
from paddock.engine.worker.rows import RowTable

NOT_FINITE = "the model computed NaN or infinity for this input; a --dtype with a wider range may help"


@dataclass
class Gathered:
    """What the chunks of one input have left so far."""

    params: PoolingParams
    first: torch.Tensor | None = None
    total: torch.Tensor | None = None
    """float32 sum over the tokens."""

    kept: list[torch.Tensor] = field(default_factory=list)


class Pooler:
    """Keeps, row by row, what the next chunk needs of those before it."""

    def __init__(self, model: CausalLM, plan: PoolingPlan, rows: RowTable, dtype: torch.dtype) -> None:
        """`dtype` is that of the model's weights."""
        self._model = model
        self._plan = plan
        self._rows = rows
        self._dtype = dtype
        self._gathered: dict[int, Gathered] = {}

    def enter(self, row: int, params: PoolingParams) -> None:
        """A new input takes the row; whatever another left there is forgotten."""
        self._gathered[row] = Gathered(params)

    def take(self, hidden: torch.Tensor, plan: StepPlan, first_tokens: Sequence[int]) -> list[SampledRow]:
        """A result for each row of the plan that samples, in its order. `hidden` is `[tokens, hidden]`;
        `first_tokens` says where each scheduled row begins in it."""
        ended: list[tuple[int, PoolingParams, torch.Tensor]] = []
        # Kept only once all is well: a step that finds no memory is computed again in parts.
        unfinished: dict[int, Gathered] = {}
        for scheduled, first in zip(plan.scheduled, first_tokens, strict=True):
            before = self._gathered[scheduled.row]
            gathered = replace(before, kept=list(before.kept))
            chunk = hidden[first : first + scheduled.num_scheduled_tokens]
            self._gather(gathered, scheduled, chunk)
            if scheduled.samples:
                ended.append((scheduled.row, gathered.params, self._states(gathered, scheduled, chunk)))
            else:
                unfinished[scheduled.row] = gathered
        results = self._results(ended) if ended else []
        self._gathered.update(unfinished)
        for row, _, _ in ended:
            del self._gathered[row]
        return results

    def _gather(self, gathered: Gathered, scheduled: ScheduledRow, chunk: torch.Tensor) -> None:
        match gathered.params.pooling:
            case "CLS" if scheduled.num_computed_tokens == 0:
                # A copy: the step's states would be kept alive by a view.
                gathered.first = chunk[0].clone()
            case "MEAN":
                total = chunk.sum(0, dtype=torch.float32)
                gathered.total = total if gathered.total is None else gathered.total + total
            case "ALL" | "STEP":
                wanted = self._step_tags(scheduled) if gathered.params.pooling == "STEP" else slice(None)
                gathered.kept.append(chunk[wanted].clone())

    def _step_tags(self, scheduled: ScheduledRow) -> torch.Tensor:
        start = scheduled.num_computed_tokens
        token_ids = self._rows.token_ids[scheduled.row, start : start + scheduled.num_scheduled_tokens]
        return torch.from_numpy(np.flatnonzero(token_ids == self._plan.step_tag_id))

    def _states(self, gathered: Gathered, scheduled: ScheduledRow, chunk: torch.Tensor) -> torch.Tensor:
        """`[rows, hidden]` of one input, in the model's type."""
        match gathered.params.pooling:
            case "LAST":
                return chunk[-1:]
            case "CLS":
                assert gathered.first is not None, (
                    "an input that needs its first token reads no cached prefix"
                )
                return gathered.first[None]
            case "MEAN":
                assert gathered.total is not None
                length = scheduled.num_computed_tokens + scheduled.num_scheduled_tokens
                return (gathered.total / length)[None]
        return torch.cat(gathered.kept)

    def _results(self, ended: list[tuple[int, PoolingParams, torch.Tensor]]) -> list[SampledRow]:
        """All inputs go through the head together."""
        counts = [len(states) for _, _, states in ended]
        states = torch.cat([states for _, _, states in ended])
        if self._plan.head != "none":
            # A mean is float32 whatever the model computes in.
            states = self._model.logits(states.to(self._dtype)) - self._plan.logit_bias
        parts = torch.split(states.float(), counts)
        results = (self._finish(params, part) for (_, params, _), part in zip(ended, parts, strict=True))
        return [_answer(row, rows) for (row, _, _), rows in zip(ended, results, strict=True)]

    def _finish(self, params: PoolingParams, rows: torch.Tensor) -> torch.Tensor:
        """float32 `[rows, width]`, as the request wants them."""
        if not params.scores:
            rows = rows if params.dimensions is None else rows[:, : params.dimensions]
            return functional.normalize(rows, dim=-1) if params.activate else rows
        if not params.activate or self._plan.activation == "none":
            return rows
        return rows.sigmoid() if self._plan.activation == "sigmoid" else rows.softmax(-1)


def _answer(row: int, values: torch.Tensor) -> SampledRow:
    array = values.cpu().numpy()
    if not np.isfinite(array).all():
        return SampledRow(row, -1, error=NOT_FINITE)
    little_endian = np.ascontiguousarray(array, dtype="<f4")
    return SampledRow(row, -1, pooled=PooledRows(array.shape[1], little_endian.tobytes()))
