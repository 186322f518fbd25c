"""One worker's step: keep the rows, run the model, sample."""

import torch

from paddock.engine.executor.plan import SampledRow, StepPlan, StepResult
from paddock.engine.models.causal_lm import CausalLM
from paddock.engine.sampling.sampler import Sampler
from paddock.engine.sampling.table import SamplingTable
from paddock.engine.settings import EngineSettings
from paddock.engine.worker.batch import build_batch
from paddock.engine.worker.prompt_logprobs import prompt_logprobs
from paddock.engine.worker.rows import RowTable


class ModelRunner:
    """Executes plans in order; each holds only what changed. The model has its cache bound."""

    def __init__(self, model: CausalLM, settings: EngineSettings, device: torch.device) -> None:
        self.model = model
        self.device = device
        self.rows = RowTable(settings.max_num_seqs, settings.max_model_len, settings.block_size)
        self.sampling = SamplingTable(
            settings.max_num_seqs, settings.vocab_size, settings.eos_token_ids, device
        )
        self.sampler = Sampler(self.sampling)

    @torch.inference_mode()
    def execute(self, plan: StepPlan) -> StepResult:
        """Logits are computed only for rows that sample, and for prompts whose log-probabilities were asked for."""
        self._update_rows(plan)
        if not plan.scheduled:
            return StepResult(plan.step, [])
        batch = build_batch(plan.scheduled, self.rows, self.device)
        hidden = self.model(batch.token_ids, batch.positions, batch.metadata)
        prompts = list(prompt_logprobs(self.model, hidden, plan, batch, self.rows, self.sampling))
        if not batch.sampled_rows.size:
            return StepResult(plan.step, [], prompts)
        last = torch.from_numpy(batch.sampled_tokens).to(self.device)
        logits = self.model.logits(hidden.index_select(0, last))
        rows = batch.sampled_rows
        sampled = self.sampler.sample(logits, rows, self.rows.num_tokens[rows])
        self.rows.append(rows, sampled.token_ids)
        results = zip(rows.tolist(), sampled.token_ids.tolist(), sampled.logprobs, strict=True)
        return StepResult(plan.step, [SampledRow(*result) for result in results], prompts)

    def _update_rows(self, plan: StepPlan) -> None:
        """A freed row needs no work: its next request overwrites all of it."""
        for new in plan.new_rows:
            self.rows.enter(new)
            tokens = self.rows.token_ids[new.row, : len(new.token_ids)]
            self.sampling.enter(new.row, new.sampling, tokens, new.num_prompt_tokens)
        for scheduled in plan.scheduled:
            if scheduled.new_block_ids:
                self.rows.extend_blocks(scheduled)
