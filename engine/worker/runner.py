"""One worker's step: keep the rows, run the model, sample."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import torch

from paddock.engine.distributed.pipeline import PipelineLink
from paddock.engine.executor.base import MaskSource
from paddock.engine.executor.plan import StepPlan, StepResult
from paddock.engine.layers.placement import Placement
from paddock.engine.lora.shelf import AdapterShelf
from paddock.engine.models.causal_lm import CausalLM
from paddock.engine.sampling.processor_set import ProcessorSet
from paddock.engine.sampling.sampler import SampledTokens, Sampler
from paddock.engine.sampling.table import SamplingTable
from paddock.engine.sampling.token_masks import RowMasks
from paddock.engine.settings import EngineSettings
from paddock.engine.worker.batch import StepBatch, build_batch
from paddock.engine.worker.decode_graphs import DecodeGraphs
from paddock.engine.worker.prompt_logprobs import prompt_logprobs
from paddock.engine.worker.rows import RowTable
from paddock.engine.worker.step_parts import in_parts

HOST = torch.device("cpu")


class ModelRunner:
    """Executes plans in order; each holds only what changed. The model has its cache bound."""

    def __init__(
        self,
        model: CausalLM,
        settings: EngineSettings,
        place: Placement,
        pipeline: PipelineLink,
        adapters: AdapterShelf | None = None,
    ) -> None:
        self.model = model
        self.adapters = adapters
        self.place = place
        self.pipeline = pipeline
        self.rows = RowTable(settings.max_num_seqs, settings.max_model_len, settings.block_size)
        self.sampling = SamplingTable(
            settings.max_num_seqs,
            settings.vocab_size,
            settings.eos_token_ids,
            place.device,
            settings.logprobs_mode,
        )
        self.sampler = Sampler(self.sampling, ProcessorSet(settings, place.device))
        self.graphs: DecodeGraphs | None = None
        """Set once they are captured, where they are."""

    @torch.inference_mode()
    def execute(
        self,
        plan: StepPlan,
        sampled_later: Iterable[tuple[int, int]] = (),
        masks: MaskSource | None = None,
    ) -> StepResult:
        """Logits are computed only for rows that sample, and for prompts whose log-probabilities were asked for.

        `sampled_later` holds (row, token) of earlier steps that a later pipeline stage chose, each told once. Only the
        sampling rank's result has answers. `masks` is asked, after the model has run, for those of the masked rows.
        """
        for row, token_id in sampled_later:
            self.rows.append(np.array([row]), np.array([token_id]))
        self._update_rows(plan)
        if not plan.scheduled:
            self.model.take_part()
            return StepResult(plan.step, [])
        if not self.place.is_alone:
            # The other ranks are in the middle of the same step: one alone cannot begin it again.
            return self._compute(plan, masks)
        return in_parts(lambda part: self._compute(part, masks), plan, self.rows, splits_prompts=True)

    def _compute(self, plan: StepPlan, masks: MaskSource | None) -> StepResult:
        batch = build_batch(plan.scheduled, self.rows, HOST)
        if self.adapters is not None:
            self.adapters.begin(plan, batch)
        incoming = self.pipeline.receive(batch.token_ids.numel())
        hidden = self._hidden(batch, incoming)
        if not self.place.is_last_stage:
            self.pipeline.send(hidden)
            return StepResult(plan.step, [])
        prompts = list(prompt_logprobs(self.model, hidden, plan, batch, self.rows, self.sampling))
        if not batch.sampled_rows.size:
            return StepResult(plan.step, [], prompts)
        logits = self.model.logits(self._last_tokens(hidden, batch))
        rows = batch.sampled_rows
        allowed = None if masks is None else RowMasks.decode(plan.masked_rows, masks().words)
        sampled = self._sample(logits, rows, allowed)
        result = StepResult(plan.step, sampled.of_rows(rows), prompts)
        self.rows.append(rows, sampled.token_ids)
        return result

    def _hidden(self, batch: StepBatch, incoming: torch.Tensor | None) -> torch.Tensor:
        """Recorded steps know nothing of adapters."""
        if self.graphs is not None and not (self.adapters is not None and self.adapters.is_at_work):
            replayed = self.graphs.replay(batch, incoming)
            if replayed is not None:
                return replayed
        batch = batch.to(self.place.device)
        hidden: torch.Tensor = self.model(batch.token_ids, batch.positions, batch.metadata, incoming)
        return hidden

    def _last_tokens(self, hidden: torch.Tensor, batch: StepBatch) -> torch.Tensor:
        """Of the rows that sample, in plan order."""
        if len(batch.sampled_tokens) == len(hidden):
            return hidden  # one token a row, and none of a prompt: they lie in plan order
        return hidden.index_select(0, torch.from_numpy(batch.sampled_tokens).to(self.place.device))

    def _sample(
        self, logits: torch.Tensor, rows: npt.NDArray[np.int64], masks: RowMasks | None
    ) -> SampledTokens:
        """The first tensor-parallel rank chooses for all: were each to choose for itself, ranks on unlike processors
        could differ by a rounding and go on with different texts."""
        if self.place.rank == 0:
            sampled = self.sampler.sample(logits, rows, self.rows.num_tokens[rows], masks)
        else:
            sampled = SampledTokens(np.zeros(len(rows), np.int64), [None] * len(rows))
        if self.place.size > 1:
            token_ids = torch.from_numpy(sampled.token_ids).to(self.place.device)
            sampled.token_ids[:] = self.place.take_from_first(token_ids).cpu().numpy()
        return sampled

    def _update_rows(self, plan: StepPlan) -> None:
        """A freed row needs no work: its next request overwrites all of it."""
        for new in plan.new_rows:
            self.rows.enter(new)
        if self.adapters is not None:
            self.adapters.enter(plan.new_rows)
        if self.place.is_last_stage:
            self.sampler.update(plan.freed_rows, plan.new_rows, self.rows.token_ids)
        for scheduled in plan.scheduled:
            if scheduled.new_block_ids:
                self.rows.extend_blocks(scheduled)
