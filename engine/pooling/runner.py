"""One worker's step for a model that pools: keep the rows, run the model, pool."""

from collections.abc import Iterable

import torch

from paddock.engine.distributed.pipeline import PipelineLink
from paddock.engine.executor.base import MaskSource
from paddock.engine.executor.plan import StepPlan, StepResult
from paddock.engine.layers.placement import Placement
from paddock.engine.pooling.model import PooledModel
from paddock.engine.pooling.params import PoolingParams
from paddock.engine.pooling.pooler import Pooler
from paddock.engine.settings import EngineSettings
from paddock.engine.worker.batch import StepBatch, build_batch
from paddock.engine.worker.rows import RowTable
from paddock.engine.worker.step_parts import in_parts


class PoolingRunner:
    """Executes plans in order; each holds only what changed. The model has its cache bound."""

    def __init__(
        self,
        model: PooledModel,
        settings: EngineSettings,
        place: Placement,
        pipeline: PipelineLink,
    ) -> None:
        self.model = model
        self.place = place
        self.pipeline = pipeline
        self.rows = RowTable(settings.max_num_seqs, settings.max_model_len, settings.block_size)
        self.pooler = Pooler(model, model.plan, self.rows, place.dtype)
        self._second_from: dict[int, int] = {}
        """By row, where the second text of a pair begins."""

    @torch.inference_mode()
    def execute(
        self,
        plan: StepPlan,
        sampled_later: Iterable[tuple[int, int]] = (),
        masks: MaskSource | None = None,
    ) -> StepResult:
        """As `ModelRunner.execute`: no token is ever sampled, so nobody has one to tell of, or to mask."""
        for new in plan.new_rows:
            assert new.pooling is not None, "refused before it was queued"
            self.rows.enter(new)
            self._enter(new.row, new.pooling)
        for scheduled in plan.scheduled:
            if scheduled.new_block_ids:
                self.rows.extend_blocks(scheduled)
        if not plan.scheduled:
            return StepResult(plan.step, [])
        if not self.place.is_alone:
            # The other ranks are in the middle of the same step: one alone cannot begin it again.
            return self._compute(plan)
        return in_parts(self._compute, plan, self.rows, splits_prompts=self.model.plan.causal)

    def _compute(self, plan: StepPlan) -> StepResult:
        batch = build_batch(plan.scheduled, self.rows, self.place.device)
        incoming = self.pipeline.receive(batch.token_ids.numel())
        types = self._token_types(plan, batch)
        hidden = self.model(batch.token_ids, batch.positions, batch.metadata, incoming, types)
        if not self.place.is_last_stage:
            self.pipeline.send(hidden)
            return StepResult(plan.step, [])
        return StepResult(plan.step, self.pooler.take(hidden, plan, batch.first_tokens.tolist()))

    def _enter(self, row: int, params: PoolingParams) -> None:
        self.pooler.enter(row, params)
        self._second_from.pop(row, None)
        if params.second_from is not None:
            self._second_from[row] = params.second_from

    def _token_types(self, plan: StepPlan, batch: StepBatch) -> torch.Tensor | None:
        """None where no input is a pair of texts that the model tells apart."""
        if not self._second_from:
            return None
        types = torch.zeros_like(batch.positions)
        for scheduled, first in zip(plan.scheduled, batch.first_tokens.tolist(), strict=True):
            second = self._second_from.get(scheduled.row)
            if second is not None:
                types[first + second : first + scheduled.num_scheduled_tokens] = 1
        return types
